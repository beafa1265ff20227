"""The facts document with what gathering knows besides: keys, sizes, evidence, what was not understood. Pure.

Every value here is a value of `migration_plans.assess.document` with more keys, all optional: whoever reads the plain
document reads this one.
"""

from migration_plans.assess.document import (
    AccessFacts,
    FactsDocument,
    FactsPart,
    ForeignKeyFacts,
    FunctionalityFacts,
    TableFacts,
    TriggerFacts,
)


class IndexFacts(FactsPart):
    """An index by its columns."""

    columns: tuple[str, ...]
    unique: bool = False


class GatheredTable(TableFacts):
    """A table with its keys and its size."""

    bytes: int | None = None
    indexes: dict[str, IndexFacts] = {}  # noqa: RUF012
    sequences: tuple[str, ...] = ()


class GatheredForeignKey(ForeignKeyFacts):
    """A key, declared or inferred."""

    to_columns: tuple[str, ...] = ()
    sampled: int | None = None
    """Rows whose value was looked up in the other table, where the key was inferred and the data could be asked."""
    not_matching: int | None = None
    """Rows of those without a match."""


class RefutedKeyFacts(FactsPart):
    """Columns that statements set equal, and whose values show that it is no foreign key."""

    source: str
    columns: tuple[str, ...]
    target: str
    to_columns: tuple[str, ...]
    sampled: int
    not_matching: int


class GatheredFunctionality(FunctionalityFacts):
    """A functionality with where it was learned."""

    evidence: str = "log"
    """`comment`, `trace`, `replay`, `time`, `application`, `shape`, `statements`, or `code`: a guess."""
    seen: tuple[int, ...] = ()
    """How often each of the transactions was seen."""
    where: str | None = None
    """File and line of its code."""


class GatheredTrigger(TriggerFacts):
    """A trigger with its routine."""

    routine: str | None = None


class RoutineFacts(FactsPart):
    """A function or procedure of the database, and what it does."""

    accesses: tuple[AccessFacts, ...] = ()


class SequenceFacts(FactsPart):
    """A sequence and the column that owns it."""

    table: str | None = None
    column: str | None = None


class NotUnderstood(FactsPart):
    """A statement, view or routine that could not be read: nothing in the document comes from it."""

    what: str
    why: str
    times: int = 1


class Gathering(FactsPart):
    """How the facts came about."""

    sources: tuple[str, ...] = ()
    not_understood: tuple[NotUnderstood, ...] = ()
    ambiguous_transactions: int = 0
    """Ran while several requests did, and none of them could be told to be the one."""
    stray_transactions: int = 0
    left_out: tuple[str, ...] = ()
    """Names that statements use and the schema has not: temporary tables, or other databases."""
    notices: tuple[str, ...] = ()
    refuted_keys: tuple[RefutedKeyFacts, ...] = ()


class GatheredDocument(FactsDocument):
    """Facts as they are gathered. Everything beyond the plain document is for people and for later steps."""

    tables: dict[str, GatheredTable] | None = None  # type: ignore[assignment]
    foreign_keys: tuple[GatheredForeignKey, ...] = ()
    functionalities: dict[str, GatheredFunctionality]  # type: ignore[assignment]
    triggers: dict[str, GatheredTrigger] = {}  # type: ignore[assignment]  # noqa: RUF012
    routines: dict[str, RoutineFacts] = {}  # noqa: RUF012
    sequences: dict[str, SequenceFacts] = {}  # noqa: RUF012
    gathering: Gathering = Gathering()

    def as_json(self, *, indent: int | None = 1) -> str:
        """The document as text; keys with nothing to say are left out."""
        return self.model_dump_json(by_alias=True, exclude_defaults=True, indent=indent)
