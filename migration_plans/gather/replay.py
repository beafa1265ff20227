"""Play requests one at a time while the server logs statements: then every statement has one request that it is of.

With a connection to the database each request is enclosed by two marks in the log, so that no clock is needed. The end
is marked when no session of the database is at work any more, so that what a request starts in the background counts.
"""

import contextlib
import json
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from migration_plans.errors import LogUnreadable, SourceUnreadable
from migration_plans.gather.exchanges import answer_of
from migration_plans.gather.marks import LogMarks, open_marks
from migration_plans.gather.plays import Play, filled, picked


@dataclass(frozen=True, kw_only=True, slots=True)
class ReplaySettings:
    """A replay."""

    base_url: str
    out: Path
    """JSON lines, one per request: `gather` reads them."""
    run: str
    """Tells the marks of this replay from those of others."""
    database: str | None = None
    """URL of the monolith's PostgreSQL; without it, requests are told apart by time alone."""
    settle_s: float = 5.0
    """How long to wait at most for the database to be quiet after an answer; without a database, how long to pause."""
    timeout_s: float = 30.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Replayed:
    """What came of it."""

    requests: int
    refused: int
    """Answered with 4xx or 5xx: what they do when they succeed was not seen."""
    restless: int
    """After which the database did not become quiet in time."""


def replay(plays: Iterable[Play], settings: ReplaySettings, *, say: Callable[[str], None]) -> Replayed:
    """Play all in order. Raises `SourceUnreadable` when the monolith does not answer at all."""
    values: dict[str, Any] = {}
    requests = refused = restless = 0
    with (
        contextlib.ExitStack() as stack,
        settings.out.open("w", encoding="utf-8") as out,
        httpx.Client(base_url=settings.base_url, timeout=settings.timeout_s, trust_env=False) as client,
    ):
        marks = stack.enter_context(open_marks(settings.database, settings.settle_s)) if settings.database else None
        for number, play in enumerate(plays, start=1):
            with _around(marks, f"{settings.run}-{number}", settings.settle_s) as marked:
                line = _ask(client, play, values, thing=f"request {number}", say=say)
            requests += 1
            refused += line["status"] >= 400
            restless += marked.restless
            if line["status"] >= 400:
                say(f"{play.method} {line['path']}: {line['status']}")
            out.write(json.dumps(line | marked.named) + "\n")
            # What was played counts, whatever becomes of the rest.
            out.flush()
    return Replayed(requests=requests, refused=refused, restless=restless)


def _ask(
    client: httpx.Client, play: Play, values: dict[str, Any], *, thing: str, say: Callable[[str], None]
) -> dict[str, Any]:
    known = values if play.recorded is None else {**play.recorded, **values}
    path = filled(play.path, known, thing=thing)
    body = None if play.body is None else filled(play.body, known, thing=thing).encode()
    headers = {name: filled(value, known, thing=thing) for name, value in play.headers.items()}
    if play.recorded is not None:
        # Its own cookies say who asked; there may be several.
        client.cookies.clear()
    start = time.time()
    try:
        answer = client.request(play.method, path, content=body, headers=headers)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise SourceUnreadable(
            thing=f"{play.method} {client.base_url}{path.partition('?')[0].lstrip('/')}",
            reason=f"no answer: {type(error).__name__}: {error}",
            mend="start the monolith, and give the URL at which it answers",
        ) from error
    end = time.time()
    _save(play, answer, values, thing=thing, say=say)
    shown = path if play.recorded is None else path.partition("?")[0]
    line = {"type": "request", "method": play.method, "path": shown, "start": start, "end": end}
    return line | {"status": answer.status_code} | ({"template": play.template} if play.template else {})


def _save(
    play: Play, answer: httpx.Response, values: dict[str, Any], *, thing: str, say: Callable[[str], None]
) -> None:
    if not play.save:
        return
    held = answer_of(
        content_type=answer.headers.get("content-type", ""),
        text=answer.text,
        location=answer.headers.get("location"),
        cookies=dict(answer.cookies),
    )
    for name, place in play.save.items():
        value = picked(held, place)
        if value is not None:
            values[name] = value
        elif play.recorded is None:
            raise LogUnreadable(
                thing=thing,
                reason=f"the answer ({answer.status_code}) has no {place!r} to save as {name!r}",
                mend="correct the place, or the request",
            )
        else:
            say(f"{thing}: the answer ({answer.status_code}) has no {place!r}; {name!r} stays what was recorded")


@dataclass(kw_only=True)
class _Marked:
    named: dict[str, str]
    restless: bool = False


@contextlib.contextmanager
def _around(marks: LogMarks | None, marker: str, settle_s: float) -> Iterator[_Marked]:
    """Everything inside belongs to the one request that is named so; a pause after it where nothing can be marked."""
    if marks is None:
        yield _Marked(named={})
        time.sleep(settle_s)
        return
    marked = _Marked(named={"marker": marker})
    marks.begin(marker)
    yield marked
    marked.restless = not marks.end(marker)
