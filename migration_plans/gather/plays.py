"""Requests to play to a monolith, with places for values of earlier answers. Pure."""

import io
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlsplit

from migration_plans.errors import LogUnreadable

_PLACE: Final = re.compile(r"\$\{(?P<name>\w+)\}")
_QUOTED_PLACE: Final = re.compile(r'"\$\{(?P<name>\w+)\}"')


@dataclass(frozen=True, kw_only=True, slots=True)
class Play:
    """One request, with `${name}` where a value of an earlier answer goes."""

    method: str
    path: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: str | None = None
    save: Mapping[str, str] = field(default_factory=dict)
    """Name → place in the answer: dotted in JSON (`items.0.id`), `@cookie.NAME`, `@input.NAME` (a hidden field of a
    page), `@location.N` (the N-th part of the path that it leads to, from 0)."""

    named: str | None = None
    """The path's template, where it is known."""
    recorded: Mapping[str, Any] | None = None
    """Of a request that was recorded: the values that its places had then, for those that cannot be saved now."""

    @property
    def template(self) -> str | None:
        """The template that was given, else, where a person wrote it, the path with `{name}` for each place."""
        if self.named is not None or self.recorded is not None:
            return self.named
        bare = self.path.split("?", 1)[0]
        return _PLACE.sub(r"{\g<name>}", bare) if _PLACE.search(bare) else None


def plays_of(text: str, *, thing: str) -> list[Play]:
    """Requests that a person wrote, in the order of the text. Raises `LogUnreadable`, naming `thing` and the line."""
    plays = []
    for number, line in enumerate(io.StringIO(text), start=1):
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


def picked(answer: Mapping[str, Any], place: str) -> Any:
    """The value at a place of an answer (`json`, `cookies`, `inputs`, `location`); None when there is none."""
    kind, _, rest = place.partition(".")
    if kind in ("@cookie", "@input"):
        return (answer.get("cookies" if kind == "@cookie" else "inputs") or {}).get(rest)
    if kind == "@location":
        parts = urlsplit(str(answer.get("location") or "")).path.split("/")
        return parts[int(rest)] if rest.isdigit() and int(rest) < len(parts) else None
    found = answer.get("json")
    for part in place.split("."):
        if isinstance(found, list) and part.isdigit() and int(part) < len(found):
            found = found[int(part)]
        elif isinstance(found, dict) and part in found:
            found = found[part]
        else:
            return None
    return found
