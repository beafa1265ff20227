"""One runner per move: a lock in the state folder for this machine, one in the legacy database for all (C14)."""

import contextlib
import fcntl
from collections.abc import Iterator
from pathlib import Path

import psycopg

from migration_plans.errors import Busy
from strangler.errors import Unreachable
from strangler.redaction import redact


@contextlib.contextmanager
def exclusive(*, folder: Path, dsn: str, move: str) -> Iterator[None]:
    """Hold both locks, or raise `Busy`. A killed holder releases both at once."""
    busy = Busy(
        thing=f"move {move}",
        reason="another strangler command is working on it",
        mend="wait for it to end, or end it; then run the command again",
    )
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "runner.lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise busy from None
        try:
            connection = psycopg.connect(dsn, autocommit=True, connect_timeout=5, application_name="strangler lock")
        except psycopg.OperationalError as error:
            raise Unreachable(
                thing="legacy database",
                reason=redact(str(error)).strip().splitlines()[0],
                mend="check that it runs and that strangler.toml has its URL",
            ) from error
        with connection:
            row = connection.execute(
                "SELECT pg_try_advisory_lock(hashtext('strangler runner'), hashtext(%s))", (move,)
            ).fetchone()
            if row != (True,):
                raise busy
            yield
