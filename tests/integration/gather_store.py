"""The reference store under gunicorn on a server that logs every statement, in all three forms of a log."""

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import psycopg

from legacy_monolith.migrate import migrate
from legacy_monolith.seed.load import seed_store
from sandbox.postgres import create_database, free_port, postgres_server

PREFIX = "%m [%p] %v %q%a@%d "
REQUESTS = Path(__file__).parent.parent / "data" / "store_requests.jsonl"


@dataclass(frozen=True, kw_only=True)
class LoggedStore:
    base_url: str
    database_url: str
    log_folder: Path

    def log(self, ending: str) -> Path:
        return self.log_folder / f"postgresql.{ending}"


@contextlib.contextmanager
def logged_store() -> Iterator[LoggedStore]:
    """Statements are logged once the store is seeded, into the folder of the server's own data."""
    settings = {
        "fsync": "off",
        "logging_collector": "on",
        "log_destination": "stderr,csvlog,jsonlog",
        "log_filename": "postgresql.log",
        "log_rotation_age": "0",
        "log_line_prefix": PREFIX,
        "shared_preload_libraries": "pg_stat_statements",
    }
    with postgres_server(settings) as server_url:
        database_url = create_database(server_url, "store")
        migrate(database_url)
        seed_store(database_url, scale=0.01, seed=7)
        with psycopg.connect(database_url, autocommit=True) as connection:
            connection.execute("CREATE EXTENSION pg_stat_statements")
            connection.execute("ANALYZE")
            connection.execute("ALTER DATABASE store SET log_statement = 'all'")
            (data,) = connection.execute("SHOW data_directory").fetchone()
        port = free_port()
        command = ["gunicorn", "-c", "python:legacy_monolith.gunicorn_conf", "legacy_monolith.wsgi:app"]
        settings = {"DATABASE_URL": database_url, "STORE_BIND": f"127.0.0.1:{port}", "STORE_WORKERS": "1"}
        process = subprocess.Popen([sys.executable, "-m", *command], env={**os.environ, **settings})
        try:
            base_url = f"http://127.0.0.1:{port}"
            _wait_until_it_answers(base_url)
            yield LoggedStore(base_url=base_url, database_url=database_url, log_folder=Path(data) / "log")
        finally:
            process.terminate()
            process.wait(30)


def _wait_until_it_answers(base_url: str) -> None:
    for _ in range(600):
        with contextlib.suppress(httpx.TransportError):
            httpx.get(f"{base_url}/healthz")
            return
        time.sleep(0.1)
    raise AssertionError("the store did not start")
