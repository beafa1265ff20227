"""Reading a facts document: JSON of any size, one functionality in memory at a time besides its text."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from migration_plans.assess.document import FUNCTIONALITY, FunctionalityFacts, Surroundings
from migration_plans.assess.facts import Facts
from migration_plans.assess.facts_building import build_facts
from migration_plans.errors import FactsInvalid

_FUNCTIONALITIES: Final = "functionalities"
_GATHERED: Final = ("sequences", "gathering")
"""What `strangler gather` says besides, for people and for later steps."""
_BLANKS: Final = " \t\r\n"


def load_facts(path: Path, *, ignored: Callable[[str], None] = lambda key: None) -> Facts:
    """Read facts. Raises `FactsInvalid` naming file and place. `ignored` is told each key that means nothing here."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise FactsInvalid(thing=str(path), reason="no such file", mend="name an existing facts document") from None
    except IsADirectoryError:
        raise FactsInvalid(thing=str(path), reason="is a directory", mend="name a facts document") from None
    except OSError as error:
        raise FactsInvalid(thing=str(path), reason=f"not readable: {error.strerror}", mend="let it be read") from None
    except UnicodeDecodeError as error:
        raise FactsInvalid(thing=str(path), reason=f"not UTF-8: {error.reason}", mend="save it as UTF-8") from None
    try:
        return read_facts(text, ignored=ignored)
    except FactsInvalid as error:
        raise FactsInvalid(thing=f"{path}: {error.thing}", reason=error.reason, mend=error.mend) from None


def read_facts(text: str, *, ignored: Callable[[str], None] = lambda key: None) -> Facts:
    """The same from text."""
    document = _Document(text)
    rest: dict[str, Any] = {}
    functionalities: int | None = None
    for key, at in document.members(0, what="the document"):
        if key == _FUNCTIONALITIES:
            functionalities = at
            document.skip(at)
        elif key in Surroundings.model_fields:
            rest[key] = document.value(at)
        else:
            if key not in _GATHERED:
                ignored(key)
            document.value(at)
    document.ends()
    if functionalities is None:
        raise FactsInvalid(
            thing=_FUNCTIONALITIES,
            reason="is missing",
            mend='give {"functionalities": {name: {"transactions": [[[table, "R"|"W"], …], …]}}}',
        )
    try:
        surroundings = Surroundings.model_validate(rest)
    except ValidationError as error:
        raise _problem(error, ()) from None
    return build_facts(_functionalities(document, functionalities), surroundings)


def _functionalities(document: "_Document", at: int) -> Iterator[tuple[str, FunctionalityFacts]]:
    for name, where in document.members(at, what=_FUNCTIONALITIES):
        value = document.value(where)
        try:
            yield name, FUNCTIONALITY.validate_python(value)
        except ValidationError as error:
            raise _problem(error, (_FUNCTIONALITIES, name)) from None


def _problem(error: ValidationError, inside: tuple[str, ...]) -> FactsInvalid:
    problem = error.errors()[0]
    where = ".".join(str(part) for part in (*inside, *problem["loc"]))
    others = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    return FactsInvalid(
        thing=where, reason=f"{problem['msg']}{others}", mend="docs/assess.md and facts.schema.json show the form"
    )


class _Document:
    """A JSON text whose objects are walked member by member."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._decoder = json.JSONDecoder()
        self._end = 0
        """Where the value that was last read ends."""

    def members(self, at: int, *, what: str) -> Iterator[tuple[str, int]]:
        """Each key and where its value begins. The value has to be read before the next is asked for."""
        at = self._blanks(at)
        if self._text[at : at + 1] != "{":
            if not self._text.strip():
                raise FactsInvalid(thing=what, reason="is empty", mend="give a JSON object")
            self._decode(at)
            raise FactsInvalid(thing=what, reason="is not a JSON object", mend="give an object: {…}")
        at = self._blanks(at + 1)
        seen: set[str] = set()
        while self._text[at : at + 1] != "}" or seen:
            if self._text[at : at + 1] != '"':
                raise self._malformed("a key in double quotes is expected", at)
            key = self._decode(at)
            if key in seen:
                raise FactsInvalid(thing=f"{what}: {key}", reason="is given twice", mend="give every name once")
            seen.add(key)
            at = self._blanks(self._end)
            if self._text[at : at + 1] != ":":
                raise self._malformed("':' is expected", at)
            yield key, self._blanks(at + 1)
            at = self._blanks(self._end)
            if self._text[at : at + 1] == "}":
                break
            if self._text[at : at + 1] != ",":
                raise self._malformed("',' or '}' is expected", at)
            at = self._blanks(at + 1)
        self._end = at + 1

    def value(self, at: int) -> Any:
        """The value that begins there."""
        return self._decode(at)

    def skip(self, at: int) -> None:
        """Check the form of the object that begins there, member by member."""
        for _, where in self.members(at, what=_FUNCTIONALITIES):
            self._decode(where)

    def ends(self) -> None:
        """Nothing may follow."""
        at = self._blanks(self._end)
        if at != len(self._text):
            raise self._malformed("nothing is expected after the document", at)

    def _decode(self, at: int) -> Any:
        try:
            value, self._end = self._decoder.raw_decode(self._text, at)
        except json.JSONDecodeError as error:
            raise self._malformed(error.msg, error.pos) from None
        except RecursionError:
            raise self._malformed("nested too deeply", at) from None
        except ValueError as error:
            raise self._malformed(str(error), at) from None
        return value

    def _blanks(self, at: int) -> int:
        text, end = self._text, len(self._text)
        while at < end and text[at] in _BLANKS:
            at += 1
        return at

    def _malformed(self, reason: str, at: int) -> FactsInvalid:
        line = self._text.count("\n", 0, at) + 1
        column = at - self._text.rfind("\n", 0, at)
        return FactsInvalid(
            thing=f"line {line}, column {column}", reason=f"malformed JSON: {reason}", mend="correct it there"
        )
