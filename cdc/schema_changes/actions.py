"""What is done to a target table so that it can take the source's new form: as SQL, and as Alembic operations. Pure."""

from collections.abc import Callable
from dataclasses import dataclass

from cdc.events import TableName
from cdc.verify.statements import quoted


@dataclass(frozen=True, kw_only=True, slots=True)
class AddColumn:
    """`type`: `format_type` text. `filled`: text form that existing rows get. `default`: SQL for new ones."""

    table: TableName
    column: str
    type: str
    filled: str | None = None
    default: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class ChangeType:
    table: TableName
    column: str
    type: str


@dataclass(frozen=True, kw_only=True, slots=True)
class AllowNull:
    table: TableName
    column: str


@dataclass(frozen=True, kw_only=True, slots=True)
class AddLabel:
    """`type`: the enum, `format_type` text. `after`: the label it follows; None: it becomes the first."""

    type: str
    label: str
    after: str | None


TargetAction = AddColumn | ChangeType | AllowNull | AddLabel


def statements(action: TargetAction) -> list[str]:
    """SQL, in order. Done twice it changes nothing."""
    match action:
        case AddColumn():
            return _add_column(action)
        case ChangeType():
            return [_alter(action.table, f"ALTER COLUMN {quoted(action.column)} TYPE {action.type}")]
        case AllowNull():
            return [_alter(action.table, f"ALTER COLUMN {quoted(action.column)} DROP NOT NULL")]
        case AddLabel():
            place = "" if action.after is None else f" AFTER {literal(action.after)}"
            return [f"ALTER TYPE {action.type} ADD VALUE IF NOT EXISTS {literal(action.label)}{place}"]


def alembic(action: TargetAction) -> str:
    """The same as a line of an Alembic migration."""
    kind = sqlalchemy_type(action.type) if isinstance(action, AddColumn | ChangeType) else None
    match action:
        case AddColumn() if kind:
            filled = "" if action.filled is None else f", server_default={action.filled!r}"
            schema = "" if action.table.schema == "public" else f", schema={action.table.schema!r}"
            return f"op.add_column({action.table.name!r}, sa.Column({action.column!r}, {kind}{filled}){schema})"
        case ChangeType() if kind:
            return f"op.alter_column({_column(action.table, action.column)}, type_={kind})"
        case AllowNull():
            return f"op.alter_column({_column(action.table, action.column)}, nullable=True)"
        case _:
            return f"op.execute({statements(action)[0]!r})"


def drop_column(table: TableName, column: str) -> str:
    """An Alembic line for what the stream never does itself."""
    return f"op.drop_column({_column(table, column)})"


def sqlalchemy_type(type_name: str) -> str | None:
    """`character varying(20)` → `sa.String(20)`; None for what SQLAlchemy has no word for."""
    base, _, numbers = type_name.removesuffix("[]").partition("(")
    numbers, _, rest = numbers.partition(")")
    render = _TYPES.get((base + rest).strip())
    if render is None:
        return None
    return f"postgresql.ARRAY({render(numbers)})" if type_name.endswith("[]") else render(numbers)


def literal(text: str) -> str:
    """An SQL string, whatever `standard_conforming_strings` says."""
    quoted = text.replace("'", "''")
    return f"'{quoted}'" if "\\" not in text else " E'" + quoted.replace("\\", "\\\\") + "'"


def _plain(name: str) -> Callable[[str], str]:
    return lambda numbers: f"{name}({numbers})" if numbers else f"{name}()"


def _zoned(name: str) -> Callable[[str], str]:
    return lambda numbers: f"postgresql.{name}(timezone=True{f', precision={numbers}' if numbers else ''})"


_TYPES = {
    "smallint": _plain("sa.SmallInteger"),
    "integer": _plain("sa.Integer"),
    "bigint": _plain("sa.BigInteger"),
    "numeric": _plain("sa.Numeric"),
    "real": _plain("sa.REAL"),
    "double precision": _plain("sa.Double"),
    "boolean": _plain("sa.Boolean"),
    "text": _plain("sa.Text"),
    "character varying": _plain("sa.String"),
    "character": _plain("sa.CHAR"),
    "bytea": _plain("sa.LargeBinary"),
    "date": _plain("sa.Date"),
    "uuid": _plain("sa.Uuid"),
    "json": _plain("postgresql.JSON"),
    "jsonb": _plain("postgresql.JSONB"),
    "timestamp without time zone": lambda n: f"postgresql.TIMESTAMP({f'precision={n}' if n else ''})",
    "timestamp with time zone": _zoned("TIMESTAMP"),
}


def _add_column(action: AddColumn) -> list[str]:
    """The default that fills existing rows is a constant, so the server stores it once and rewrites nothing."""
    filled = "" if action.filled is None else f" DEFAULT {literal(action.filled)}::{action.type}"
    added = _alter(action.table, f"ADD COLUMN IF NOT EXISTS {quoted(action.column)} {action.type}{filled}")
    column = f"ALTER COLUMN {quoted(action.column)}"
    if action.default is not None:
        return [added, _alter(action.table, f"{column} SET DEFAULT {action.default}")]
    return [added] if action.filled is None else [added, _alter(action.table, f"{column} DROP DEFAULT")]


def _alter(table: TableName, what: str) -> str:
    return f"ALTER TABLE {quoted(table.schema)}.{quoted(table.name)} {what}"


def _column(table: TableName, column: str) -> str:
    schema = "" if table.schema == "public" else f", schema={table.schema!r}"
    return f"{table.name!r}, {column!r}{schema}"
