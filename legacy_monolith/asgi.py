"""The store behind an ASGI server: `uvicorn legacy_monolith.asgi:app`.

A threaded WSGI server gives a thread to a connection that has sent nothing yet. A proxy that opens connections ahead of
need (Envoy does, whenever requests queue) then starves it for seconds at a time. Here an event loop holds the
connections, and a thread is taken only for a whole request.
"""

import os
from typing import Any

from a2wsgi import WSGIMiddleware

from legacy_monolith.wsgi import app as wsgi_app

_wsgi: Any = wsgi_app
app = WSGIMiddleware(_wsgi, workers=int(os.environ.get("STORE_THREADS", "16")))
