"""What the columns of an outbox table mean. Pure. Names and defaults are those of Debezium's outbox event router."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from cdc.errors import OutboxInvalid
from cdc.events import TableName

Place = Literal["header", "envelope", "partition"]
InvalidOperation = Literal["warn", "error", "fatal"]

_VARIABLE = re.compile(r"\$\{(\w+)\}|\$(\d+)")


@dataclass(frozen=True, kw_only=True, slots=True)
class Placement:
    """A further column of the table: where in the message its value goes, and under which name."""

    column: str
    place: Place
    name: str


@dataclass(frozen=True, kw_only=True, slots=True)
class OutboxOptions:
    """`id`, `key`, `route_by`, `payload`, `timestamp` (None: the commit's time): columns of `table`.

    `topic_regex` is matched against the whole value of `route_by`; `topic` is the topic's name, with `${name}` or `$1`
    for the regex's groups. `expand_json`: the payload is JSON and stands in the message as such, not as a string.
    `tombstone_on_empty`: an empty payload is sent as null. `invalid_operation`: what an update of an outbox row means;
    deletes are how a table is kept small and mean nothing.
    """

    table: TableName
    id: str = "id"
    key: str = "aggregateid"
    route_by: str = "aggregatetype"
    payload: str = "payload"
    timestamp: str | None = None
    topic_regex: str = "(?P<routedByValue>.*)"
    topic: str = "outbox.event.${routedByValue}"
    expand_json: bool = False
    tombstone_on_empty: bool = False
    place: Sequence[Placement] = ()
    invalid_operation: InvalidOperation = "warn"

    def columns(self) -> list[str]:
        """Every column that the table must have."""
        own = [self.id, self.key, self.route_by, self.payload, *([self.timestamp] if self.timestamp else [])]
        return list(dict.fromkeys([*own, *(placement.column for placement in self.place)]))


def parse_placements(texts: Sequence[str]) -> tuple[Placement, ...]:
    """From `column:header|envelope|partition[:name]`. Raises `OutboxInvalid`."""
    found = []
    for text in texts:
        column, *rest = text.split(":")
        place = rest[0] if rest else ""
        if not column or len(rest) not in (1, 2) or place not in ("header", "envelope", "partition"):
            raise OutboxInvalid(
                thing=f"placement {text!r}",
                reason="not of the form column:header, column:envelope or column:partition, with :name after it",
                mend="write it as in `type:header:eventType`",
            )
        known: Place = "header" if place == "header" else "envelope" if place == "envelope" else "partition"
        found.append(Placement(column=column, place=known, name=rest[1] if len(rest) == 2 else column))
    return tuple(found)


def compile_topic(options: OutboxOptions) -> tuple[re.Pattern[str], str]:
    """The regex (also with Java's `(?<name>…)`) and the topic as a template for `Match.expand`. Raises
    `OutboxInvalid`."""
    source = re.sub(r"\(\?<(\w+)>", r"(?P<\1>", options.topic_regex)
    literal = re.sub(r"\\", r"\\\\", options.topic)
    template = _VARIABLE.sub(lambda match: rf"\g<{match[1] or match[2]}>", literal)
    try:
        pattern = re.compile(source, re.DOTALL)
        for match in _VARIABLE.finditer(options.topic):
            name = match[1] or match[2]
            if name not in pattern.groupindex and not (name.isdigit() and int(name) <= pattern.groups):
                raise re.error(f"topic names the group {name!r}, which the regex does not have")
    except re.error as error:
        raise OutboxInvalid(
            thing=f"outbox topic {options.topic!r} of {options.topic_regex!r}",
            reason=str(error),
            mend="correct topic_regex or topic; the default is (?P<routedByValue>.*) and outbox.event.${routedByValue}",
        ) from None
    return pattern, template
