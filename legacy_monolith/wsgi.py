"""The entry for gunicorn: `gunicorn -c python:legacy_monolith.gunicorn_conf legacy_monolith.wsgi:app`."""

import os

from legacy_monolith.app import create_app

app = create_app(os.environ["DATABASE_URL"], pool_size=int(os.environ.get("STORE_THREADS", "8")))
