"""The port between the stream and what follows schema changes of the source."""

from typing import Protocol

from cdc.events import Relation
from cdc.lsn import Lsn
from cdc.mapping.port import Mapper


class SchemaEvolution(Protocol):
    """Asked when an event's relation is not what the mapping was compiled for (`cdc.errors.SchemaChanged`).

    In log order: the events before it are durable in the target, it and those behind it are not.
    Idempotency: the applier may be killed at any point and ask again about the same relation.
    """

    def follow(self, relation: Relation, mapper: Mapper) -> Mapper:
        """Bring the target along, durably, as far as the policy allows; return a mapper that takes this relation's
        events and those of every earlier form of it that may still be in the log.

        Raises `SchemaChanged` with the diff, and the Alembic operation that reconciles, when a person has to decide:
        the table is then parked, and the others go on.
        """
        ...

    def look(self, applied: Lsn) -> None:
        """Now and then, from a thread of its own: find what no event shows. `applied`: what is durable in the target.

        Raises `SchemaChanged` when a table of the stream cannot be followed any more; the next look says so again.
        """
        ...

    def passed_over(self, relation: Relation) -> None:
        """The stream passes over events of this relation, which is no table of the mapping, before it moves on.

        A mapped table under another name is kept as one that has lost changes. Told once per relation and session.
        """
        ...
