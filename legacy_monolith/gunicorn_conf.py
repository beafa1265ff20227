"""How gunicorn runs the store: a few processes with threads, and connections that outlive a proxy's idle time.

`STORE_BIND` (default 127.0.0.1:8000), `STORE_WORKERS` (2) and `STORE_THREADS` (8, also the size of the pools) are read
from the environment.
"""

import os

bind = os.environ.get("STORE_BIND", "127.0.0.1:8000")
worker_class = "gthread"
workers = int(os.environ.get("STORE_WORKERS", "2"))
threads = int(os.environ.get("STORE_THREADS", "8"))
keepalive = 300
graceful_timeout = 20
control_socket_disable = True
