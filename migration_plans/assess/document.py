"""The facts document: what may be said about a monolith, as its JSON Schema says it. Pure.

Only `functionalities` is required; facts can come from anywhere. Keys that are not known are ignored and reported.
`facts.schema.json` beside this file is generated from these models (`json_schema`).
"""

from typing import Annotated, Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

Mode = Literal["R", "W"]
TableName = Annotated[str, Field(min_length=1)]
Calls = Annotated[float, Field(ge=0, le=1e18, allow_inf_nan=False)]
"""More than anybody counts; sums of them stay numbers."""


class AccessFacts(NamedTuple):
    """A table is read or written; written as `["orders", "W"]`."""

    table: TableName
    mode: Mode


class FactsPart(BaseModel):
    model_config = ConfigDict(frozen=True, populate_by_name=True)


class TableFacts(FactsPart):
    """A table of the monolith's database."""

    columns: tuple[str, ...] = ()
    primary_key: tuple[str, ...] = ()
    rows: Annotated[int, Field(ge=0)] | None = None


class ForeignKeyFacts(FactsPart):
    """`from` holds the columns, `to` is the table that they point to."""

    source: TableName = Field(alias="from")
    target: TableName = Field(alias="to")
    columns: tuple[str, ...] = ()
    on_delete: str | None = None
    """As the database calls it: `CASCADE`, `SET NULL`, `RESTRICT`, `NO ACTION`."""
    inferred: bool = False
    """Not declared, but concluded from joins or names."""


class JoinFacts(FactsPart):
    """Tables that one statement joins."""

    tables: tuple[TableName, ...] = Field(min_length=1)
    functionality: str | None = None
    calls: Calls = 1


class ViewFacts(FactsPart):
    """A view, and the tables that it reads."""

    tables: tuple[TableName, ...] = ()


class TriggerFacts(FactsPart):
    """A trigger of a table, and the tables that it reads or writes besides."""

    table: TableName
    tables: tuple[TableName, ...] = ()


class StoredCodeFacts(FactsPart):
    """A function or procedure of the database, and the tables that it reads and writes."""

    accesses: tuple[AccessFacts, ...] = ()


class ColumnFacts(FactsPart):
    """Columns of one table that a functionality reads and writes."""

    read: tuple[str, ...] = ()
    written: tuple[str, ...] = ()


class LockFacts(FactsPart):
    """Rows that are locked, or a whole table; `table` is empty for an advisory lock."""

    table: str = ""
    strength: str
    """`UPDATE`, `NO KEY UPDATE`, `SHARE`, `KEY SHARE`, `TABLE …`, `ADVISORY`."""


class FunctionalityFacts(FactsPart):
    """What one endpoint, job or message handler does to tables."""

    calls: Calls = 1
    """How often it was seen, over any time that is the same for all."""
    transactions: tuple[tuple[AccessFacts, ...], ...]
    """Each transaction's accesses in their order."""
    columns: dict[TableName, ColumnFacts] = {}
    inserts: tuple[TableName, ...] | None = None
    """Of the tables written, those into which rows are put; None when it is not known what writes do."""
    updates: tuple[TableName, ...] | None = None
    deletes: tuple[TableName, ...] | None = None
    locks: tuple[LockFacts, ...] = ()
    """That statements ask for."""
    held_ms: Annotated[float, Field(ge=0, le=1e12, allow_inf_nan=False)] | None = None
    """Mean time in milliseconds from the first statement to the last of the transactions that write or lock."""


class HintFacts(FactsPart):
    """What a person knows: tables that belong together, and tables that must not."""

    must_link: tuple[tuple[TableName, ...], ...] = ()
    cannot_link: tuple[tuple[TableName, ...], ...] = ()


class FactsDocument(FactsPart):
    """Facts about a monolith: its tables, and what its functionalities do to them."""

    tables: dict[TableName, TableFacts] | None = None
    """When given, no other table may be named anywhere."""
    foreign_keys: tuple[ForeignKeyFacts, ...] = ()
    functionalities: dict[str, FunctionalityFacts]
    joins: tuple[JoinFacts, ...] = ()
    views: dict[str, ViewFacts] = {}
    triggers: dict[str, TriggerFacts] = {}
    hints: HintFacts = HintFacts()


class Surroundings(FactsPart):
    """All of the document but its functionalities, which are read one by one."""

    tables: dict[TableName, TableFacts] | None = None
    foreign_keys: tuple[ForeignKeyFacts, ...] = ()
    joins: tuple[JoinFacts, ...] = ()
    views: dict[str, ViewFacts] = {}
    triggers: dict[str, TriggerFacts] = {}
    routines: dict[str, StoredCodeFacts] = {}
    """As `strangler gather` writes them."""
    hints: HintFacts = HintFacts()


FUNCTIONALITY = TypeAdapter(FunctionalityFacts)


def json_schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of the document."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **FactsDocument.model_json_schema()}
