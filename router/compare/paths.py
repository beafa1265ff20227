"""Paths: `items[].price` as a pattern, `items[id=42].price` as a place.

Pattern: keys joined by `.`, `*` one key, `[]` one array element, `**` any depth, `["odd key"]` a key that is not a
plain word, `$` the root. Names that begin with `@` (`@status`, `@header.date`, `@body`) are outside the body.
"""

import json
import re
from collections.abc import Iterable
from typing import Final

from router.compare.errors import BadCompareRules

ANY_KEY: Final = "*"
ANY_DEPTH: Final = "**"
ELEMENT: Final = "[]"

Place = tuple["Place | None", str, str]
"""A linked path: (parent, exact step, counted step), so that walking builds no strings until there is a difference."""

ROOT: Place = (None, "", "")

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*\Z")
_STEP = re.compile(
    r'\.?(?:(?P<element>\[\])|\[(?P<quoted>"(?:[^"\\]|\\.)*")\]|(?P<word>\*\*|\*|[^.\[\]"$@][^.\[\]"]*))'
)
_DYNAMIC_KEY = re.compile(r"[0-9]|.*[^\w-]", re.DOTALL)
MAX_RECORD_KEYS = 50
MAX_KEY_CHARS = 100


def key_step(key: str) -> str:
    """One object key as a path step."""
    return f".{key}" if _PLAIN.match(key) else f"[{json.dumps(key, ensure_ascii=False)}]"


def child(parent: Place, exact: str, counted: str) -> Place:
    return (parent, exact, counted)


def exact_text(place: Place) -> str:
    """The exact place, `$` for the root."""
    return _text(place, 1)


def counted_text(place: Place) -> str:
    """The place without ids, `$` for the root."""
    return _text(place, 2)


def _text(place: Place, column: int) -> str:
    steps: list[str] = []
    at: Place | None = place
    while at is not None:
        step = at[column]
        assert isinstance(step, str)
        steps.append(step)
        at = at[0]
    return "".join(reversed(steps)).removeprefix(".") or "$"


def is_dynamic(keys: Iterable[str]) -> bool:
    """Whether these look like the keys of a map (ids as keys) and not like the fields of a record."""
    names = list(keys)
    if len(names) > MAX_RECORD_KEYS:
        return True
    return any(len(name) > MAX_KEY_CHARS or _DYNAMIC_KEY.match(name) for name in names)


def parse_pattern(pattern: str) -> tuple[str, ...]:
    """The steps of a path pattern; object keys are given as `.key`. Raises `BadCompareRules`."""
    if pattern == "$":
        return ()
    steps: list[str] = []
    position = 0
    while position < len(pattern):
        match = _STEP.match(pattern, position)
        if match is None or (position == 0 and pattern.startswith(".")):
            raise BadCompareRules(
                thing=f"path {pattern!r}",
                reason=f"cannot be read from character {position + 1}",
                mend='join keys by dots; [] is any array element, * any key, ** any depth, ["k"] an odd key',
            )
        steps.append(_step_of(match))
        position = match.end()
    if not steps:
        raise BadCompareRules(thing="path ''", reason="is empty", mend="write $ for the whole body")
    return tuple(steps)


def _step_of(match: re.Match[str]) -> str:
    if match["element"]:
        return ELEMENT
    if match["quoted"]:
        key: str = json.loads(match["quoted"])
        return f".{key}"
    word = match["word"]
    return word if word in (ANY_KEY, ANY_DEPTH) else f".{word}"
