"""What may happen to a schema change of the source: every kind, in one table. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from types import MappingProxyType
from typing import Final, TypeVar

from strangler.errors import BadInput

_Word = TypeVar("_Word", bound=Enum)


class Kind(Enum):
    """A change of a source table's form, by what it means for rows on their way."""

    ADDED_NULLABLE = "added_nullable"
    """A column that is NULL in the rows that were there."""
    ADDED_CONSTANT = "added_constant"
    """A column with one value in all the rows that were there."""
    ADDED_COMPUTED = "added_computed"
    """A column whose values in existing rows were written by a rewrite of the table: they are not in the log."""
    ADDED_CASE = "added_case"
    """A column whose name differs from another's by upper and lower case only (S11)."""
    DROPPED = "dropped"
    RENAMED = "renamed"
    WIDENED = "widened"
    """Every old value fits the new type, in the same text form or by the target's own conversion."""
    NARROWED = "narrowed"
    RETYPED = "retyped"
    """Another kind of value, or a conversion that the log does not show."""
    LABEL_ADDED = "label_added"
    LABEL_LOST = "label_lost"
    """A label of an enum was renamed: existing rows changed and the log does not show it."""
    NULL_ALLOWED = "null_allowed"
    NULL_REFUSED = "null_refused"
    KEY = "key"
    """The primary key, or the replica identity by which rows are told apart."""
    REPLACED = "replaced"
    """Another table has the name now, or none has (S7)."""


class Decision(Enum):
    """`FOLLOW`: the target is brought along. `IGNORE`: the stream goes on without it. `STOP`: a person decides."""

    FOLLOW = "follow"
    IGNORE = "ignore"
    STOP = "stop"


_FOLLOW, _IGNORE, _STOP = Decision.FOLLOW, Decision.IGNORE, Decision.STOP

CHOICES: Final[Mapping[Kind, tuple[Decision, ...]]] = MappingProxyType(
    {
        Kind.ADDED_NULLABLE: (_FOLLOW, _IGNORE, _STOP),
        Kind.ADDED_CONSTANT: (_FOLLOW, _IGNORE, _STOP),
        Kind.ADDED_COMPUTED: (_STOP, _IGNORE),
        Kind.ADDED_CASE: (_STOP,),
        Kind.DROPPED: (_STOP, _IGNORE),
        Kind.RENAMED: (_STOP, _FOLLOW),
        Kind.WIDENED: (_FOLLOW, _STOP),
        Kind.NARROWED: (_STOP,),
        Kind.RETYPED: (_STOP,),
        Kind.LABEL_ADDED: (_FOLLOW, _STOP),
        Kind.LABEL_LOST: (_STOP,),
        Kind.NULL_ALLOWED: (_FOLLOW, _STOP),
        Kind.NULL_REFUSED: (_IGNORE, _STOP),
        Kind.KEY: (_STOP,),
        Kind.REPLACED: (_STOP,),
    }
)
"""What may be chosen for each kind; the first is the default. What loses data, or could, cannot be chosen at all."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SchemaPolicy:
    """`[stream.on_schema_change]`: what differs from the defaults. Raises `BadInput` for what may not be chosen."""

    chosen: Mapping[Kind, Decision] = field(default_factory=lambda: MappingProxyType({}))

    def __post_init__(self) -> None:
        for kind, decision in self.chosen.items():
            if decision not in CHOICES[kind]:
                allowed = " or ".join(repr(each.value) for each in CHOICES[kind])
                raise BadInput(
                    thing=f"stream.on_schema_change.{kind.value}",
                    reason=f"{decision.value!r} would lose or change data without a word",
                    mend=f"use {allowed}",
                )

    def decide(self, kind: Kind) -> Decision:
        return self.chosen.get(kind, CHOICES[kind][0])


STOP_AT_EVERYTHING: Final = SchemaPolicy(
    chosen=MappingProxyType({kind: _STOP for kind in Kind if kind is not Kind.NULL_REFUSED})
)
"""For the way back: the monolith's tables are not ours to alter (S9)."""


def policy_of(chosen: Mapping[str, str]) -> SchemaPolicy:
    """From the words of the settings file. Raises `BadInput` naming the word that is wrong."""
    return SchemaPolicy(
        chosen=MappingProxyType({_word(Kind, kind, kind): _word(Decision, what, kind) for kind, what in chosen.items()})
    )


def _word(words: type[_Word], text: str, key: str) -> _Word:
    try:
        return words(text)
    except ValueError:
        raise BadInput(
            thing=f"stream.on_schema_change.{key}",
            reason=f"{text!r} is not known",
            mend=f"use one of: {', '.join(str(word.value) for word in words)}",
        ) from None
