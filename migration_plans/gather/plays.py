"""Requests to play to a monolith: a HAR document, or JSON lines with places for values of earlier answers. Pure."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from migration_plans.errors import LogUnreadable
from migration_plans.gather.requests import requests_of

_PLACE: Final = re.compile(r"\$\{(?P<name>\w+)\}")
_QUOTED_PLACE: Final = re.compile(r'"\$\{(?P<name>\w+)\}"')
_NOT_REPLAYED: Final = frozenset({"host", "content-length", "connection", "transfer-encoding", "accept-encoding"})


@dataclass(frozen=True, kw_only=True, slots=True)
class Play:
    """One request, with `${name}` where a value of an earlier answer goes."""

    method: str
    path: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: str | None = None
    save: Mapping[str, str] = field(default_factory=dict)
    """Name → place in the JSON answer, dotted (`items.0.id`)."""

    named: str | None = None
    """The path's template, where it is known."""

    @property
    def template(self) -> str | None:
        """The template that was given, else the path with `{name}` for each place; None when it has none."""
        if self.named is not None:
            return self.named
        bare = self.path.split("?", 1)[0]
        return _PLACE.sub(r"{\g<name>}", bare) if _PLACE.search(bare) else None


def plays_of(text: str, *, thing: str) -> list[Play]:
    """Requests in the order of the text. Raises `LogUnreadable`, naming `thing` and the line."""
    if text.lstrip().startswith("{") and '"log"' in text[:200]:
        return [
            Play(
                method=one.method,
                path=one.path,
                headers={name: value for name, value in one.headers.items() if name not in _NOT_REPLAYED},
                body=one.body,
            )
            for one in requests_of(text, thing=thing)
        ]
    plays = []
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        try:
            given = json.loads(line)
            headers = {str(name).lower(): str(value) for name, value in (given.get("headers") or {}).items()}
            body = given.get("body")
            if "json" in given:
                body = json.dumps(given["json"])
                headers.setdefault("content-type", "application/json")
            plays.append(
                Play(
                    method=str(given["method"]).upper(),
                    path=str(given["path"]),
                    headers=headers,
                    body=body,
                    named=given.get("template"),
                    save={str(name): str(place) for name, place in (given.get("save") or {}).items()},
                )
            )
        except (KeyError, ValueError, AttributeError, TypeError) as error:
            raise LogUnreadable(
                thing=f"{thing}: line {number}",
                reason=f"lacks {error}" if isinstance(error, KeyError) else str(error)[:120],
                mend='give {"method", "path"} and, where needed, "headers", "json" or "body", "save", "template"',
            ) from None
    return plays


def filled(text: str, values: Mapping[str, Any], *, thing: str) -> str:
    """The text with saved values in their places; `"${name}"`, quotes included, becomes the JSON value that it was."""

    def value(place: re.Match[str]) -> str:
        name = place["name"]
        if name not in values:
            raise LogUnreadable(
                thing=thing, reason=f"${{{name}}} was not saved by an earlier request", mend="save it, or write a value"
            )
        saved = values[name]
        if place[0].startswith('"'):
            return json.dumps(saved)
        return saved if isinstance(saved, str) else json.dumps(saved)

    return _PLACE.sub(value, _QUOTED_PLACE.sub(value, text))


def picked(answer: Any, place: str) -> Any:
    """The value at a dotted place of a JSON answer; None when there is none."""
    for part in place.split("."):
        if isinstance(answer, list) and part.isdigit() and int(part) < len(answer):
            answer = answer[int(part)]
        elif isinstance(answer, dict) and part in answer:
            answer = answer[part]
        else:
            return None
    return answer
