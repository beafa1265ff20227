"""Recorded requests with their answers: a HAR document, or lines of `gather record --bodies`. Pure."""

import io
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final
from urllib.parse import quote, urlsplit

from migration_plans.errors import LogUnreadable
from migration_plans.gather.links import HIDDEN, Exchange, linked
from migration_plans.gather.plays import Play, plays_of
from strangler.html_forms import hidden_inputs

_NOT_PLAYED: Final = frozenset(
    {
        "host", "content-length", "connection", "transfer-encoding", "accept-encoding", "te", "upgrade", "keep-alive",
        "traceparent", "tracestate", "if-none-match", "if-modified-since",
    }
)  # fmt: skip
_SWITCHED: Final = 101


def recorded_or_written(text: str, *, thing: str, known: Mapping[str, str], say: Callable[[str], None]) -> list[Play]:
    """What to play: a HAR document or a record with places put in, or requests as a person wrote them.

    `known`: secrets by the words that stand for them. Says which requests are left out, and for which secrets no answer
    and nobody has anything. Raises `LogUnreadable`.
    """
    exchanges = _exchanges(text, thing, say)
    if exchanges is None:
        return plays_of(text, thing=thing)
    plays = [revealed(play, known) for play in linked(exchanges)]
    for word, where in secrets_in(plays).items():
        say(f"{word} is played as it is: it hides a secret of {where} that no answer gave; --secrets may have it")
    return plays


def secrets_in(plays: Sequence[Play]) -> dict[str, str]:
    """Words that stand for secrets which no earlier answer held → the first request that has them."""
    found: dict[str, str] = {}
    for play in plays:
        for text in (play.path, *play.headers.values(), play.body or ""):
            for match in HIDDEN.finditer(text):
                found.setdefault(match[0], f"{play.method} {play.path.partition('?')[0]}")
    return found


def revealed(play: Play, secrets: Mapping[str, str]) -> Play:
    """With the secrets in the place of the words that stand for them."""
    kind = play.headers.get("content-type", "").partition(";")[0].strip().lower()
    in_body = _quoted if kind == "application/x-www-form-urlencoded" else _in_json
    return replace(
        play,
        path=_put(play.path, secrets, _quoted),
        headers={name: _put(value, secrets, str) for name, value in play.headers.items()},
        body=None if play.body is None else _put(play.body, secrets, in_body),
    )


def _put(text: str, secrets: Mapping[str, str], form: Callable[[str], str]) -> str:
    return HIDDEN.sub(lambda word: form(secrets.get(word[0], word[0])), text)


def _quoted(text: str) -> str:
    return quote(text, safe="")


def _in_json(text: str) -> str:
    return json.dumps(text)[1:-1]


def answer_of(*, content_type: str, text: str, location: str | None, cookies: Mapping[str, str]) -> dict[str, Any]:
    """What of an answer later requests may use."""
    kind = content_type.partition(";")[0].strip().lower()
    answer: dict[str, Any] = {}
    if location:
        answer["location"] = location
    if cookies:
        answer["cookies"] = dict(cookies)
    if kind == "application/json" or kind.endswith("+json"):
        try:
            answer["json"] = json.loads(text)
        except (ValueError, RecursionError):
            return answer
    elif kind == "text/html" and (inputs := hidden_inputs(text)):
        answer["inputs"] = inputs
    return answer


def _exchanges(text: str, thing: str, say: Callable[[str], None]) -> list[Exchange] | None:
    """None when it is neither a HAR document nor a record with answers."""
    if text.lstrip().startswith("{"):
        try:
            document = json.loads(text)
        except ValueError:
            document = None
        if isinstance(document, dict) and isinstance(document.get("log"), dict):
            return [
                _in_har(entry, f"{thing}: entry {n}") for n, entry in enumerate(document["log"].get("entries", ()), 1)
            ]
    lines = io.StringIO(text).readlines()
    first = next((line for line in lines if line.strip()), "")
    if '"answer"' not in first and '"start"' not in first:
        return None
    return list(_in_lines(lines, thing, say))


def _in_lines(lines: Sequence[str], thing: str, say: Callable[[str], None]) -> Iterator[Exchange]:
    entries = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            entry = json.loads(line)
            entries.append((float(entry["start"]), number, entry))
        except (ValueError, KeyError, TypeError) as error:
            if number == len(lines) and not line.endswith("\n"):
                say(f"{thing}: line {number}, the last, is not whole and was left out: its writer was ended")
                continue
            raise _bad(f"{thing}: line {number}", error) from None
    for _, number, entry in sorted(entries, key=lambda item: item[:2]):
        try:
            if entry.get("type", "request") != "request" or entry.get("status") == _SWITCHED:
                continue
            if "answer" not in entry or "body_left_out" in entry:
                why = "its body was not recorded" if "answer" in entry else "recorded without --bodies"
                say(f"{entry['method']} {entry['path']} is left out: {why}")
                continue
            yield Exchange(
                method=str(entry["method"]).upper(),
                path=str(entry["path"]),
                headers=_played(entry.get("headers") or {}),
                body=entry.get("body"),
                template=entry.get("template"),
                answer=dict(entry["answer"] or {}),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise _bad(f"{thing}: line {number}", error) from None


def _in_har(entry: Mapping[str, Any], thing: str) -> Exchange:
    try:
        asked, answered = entry["request"], entry.get("response") or {}
        parts = urlsplit(asked["url"])
        content = answered.get("content") or {}
        headers = {one["name"].lower(): one["value"] for one in answered.get("headers", ())}
        return Exchange(
            method=str(asked["method"]).upper(),
            path=(parts.path or "/") + (f"?{parts.query}" if parts.query else ""),
            headers=_played({one["name"]: one["value"] for one in asked.get("headers", ())}),
            body=(asked.get("postData") or {}).get("text"),
            answer=answer_of(
                content_type=str(content.get("mimeType") or ""),
                text="" if content.get("encoding") else str(content.get("text") or ""),
                location=headers.get("location"),
                cookies={one["name"]: one["value"] for one in answered.get("cookies", ())},
            ),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise _bad(thing, error) from None


def _played(headers: Mapping[str, Any]) -> dict[str, str]:
    return {
        name.lower(): str(value)
        for name, value in headers.items()
        if name.lower() not in _NOT_PLAYED and not name.startswith(":")
    }


def _bad(thing: str, error: Exception) -> LogUnreadable:
    reason = f"lacks {error}" if isinstance(error, KeyError) else str(error)[:120]
    return LogUnreadable(
        thing=thing, reason=reason, mend="give a HAR document, or the lines of `gather record --bodies`"
    )
