"""The entry for gunicorn: `gunicorn -c python:legacy_monolith.gunicorn_conf legacy_monolith.wsgi:app`."""

import os
import sys

from legacy_monolith.app import create_app

if "DATABASE_URL" not in os.environ:
    sys.exit("DATABASE_URL is not set: give the store's database, e.g. postgresql://user@127.0.0.1/store")
app = create_app(os.environ["DATABASE_URL"], pool_size=int(os.environ.get("STORE_THREADS", "8")))
