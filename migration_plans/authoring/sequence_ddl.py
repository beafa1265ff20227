"""Sequences and identities in SQL: only what differs from what a new one has. Pure."""

from collections.abc import Iterable, Iterator

from migration_plans.authoring.definitions import literal
from migration_plans.authoring.legacy_schema import Column, Sequence, SequenceOptions, Table

_HIGHEST = {"smallint": 2**15 - 1, "integer": 2**31 - 1, "bigint": 2**63 - 1}


def identity(table: Table, column: Column) -> str:
    """As it stands in the column's definition."""
    sequence = column.identity_sequence
    options = []
    if sequence is not None:
        schema = table.sql.removesuffix(table.sql.rpartition(".")[2])
        if sequence.sql != f"{schema}{table.name.rpartition('.')[2]}_{column.name}_seq":
            options.append(f"SEQUENCE NAME {sequence.sql}")
        options += _options(sequence.options)
    return f"GENERATED {column.identity} AS IDENTITY" + (f" ({' '.join(options)})" if options else "")


def create_sequence(sequence: Sequence) -> Iterator[str]:
    """With its comment."""
    kind = [f"AS {sequence.options.type}"] if sequence.options.type != "bigint" else []
    yield " ".join([f"CREATE SEQUENCE {sequence.sql}", *kind, *_options(sequence.options)])
    yield from comment_of(sequence)


def comment_of(sequence: Sequence) -> Iterator[str]:
    """Of an identity's, too."""
    if sequence.comment:
        yield f"COMMENT ON SEQUENCE {sequence.sql} IS {literal(sequence.comment)}"


def _options(options: SequenceOptions) -> Iterable[str]:
    """Only what differs from what a new sequence has."""
    highest = _HIGHEST.get(options.type, _HIGHEST["bigint"])
    up = options.increment > 0
    low, high = (1, highest) if up else (-highest - 1, -1)
    if options.increment != 1:
        yield f"INCREMENT BY {options.increment}"
    if options.minimum != low:
        yield f"MINVALUE {options.minimum}"
    if options.maximum != high:
        yield f"MAXVALUE {options.maximum}"
    if options.start != (options.minimum if up else options.maximum):
        yield f"START WITH {options.start}"
    if options.cache != 1:
        yield f"CACHE {options.cache}"
    if options.cycles:
        yield "CYCLE"
