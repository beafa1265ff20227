"""What a MySQL or MariaDB server and its tables must be like to be captured. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from cdc.events import TableName
from cdc.fitness import Finding
from cdc.mysql.charsets import BINARY, SUPPORTED
from cdc.mysql.gtid import Gtids, parse_mariadb, parse_mysql

_REFUSED_TYPES: Final = {
    **dict.fromkeys(
        ("geometry", "point", "linestring", "polygon", "multipoint", "multilinestring", "multipolygon"), "a geometry"
    ),
    **dict.fromkeys(("geometrycollection", "geomcollection"), "a geometry"),
    **dict.fromkeys(("uuid", "inet4", "inet6"), "of a type that the binlog does not tell from binary"),
    "vector": "a vector",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class ServerFacts:
    """Global variables by lower-case name, and the server's clock when they were read."""

    place: str
    variables: Mapping[str, str]
    clock_us: int

    @property
    def is_mariadb(self) -> bool:
        return "mariadb" in self.variables.get("version", "").lower()

    @property
    def identity(self) -> str:
        """What names this server among all others, as far as it can be known."""
        unique = self.variables.get("server_uuid") or self.variables.get("server_uid")
        return unique or f"server_id {self.server_id}"

    @property
    def server_id(self) -> int:
        return int(self.variables.get("server_id", "0"))

    @property
    def has_gtids(self) -> bool:
        """MariaDB always has them."""
        return self.is_mariadb or self.variables.get("gtid_mode", "OFF").upper() == "ON"

    @property
    def purged_gtids(self) -> Gtids | None:
        """MySQL: what its files no longer hold."""
        return parse_mysql(self.variables.get("gtid_purged", "")) if self.has_gtids and not self.is_mariadb else None

    @property
    def lower_case_names(self) -> bool:
        return self.variables.get("lower_case_table_names", "0") != "0"

    def parse_gtids(self, text: str) -> Gtids:
        """In this server's form. Raises `BadInput`."""
        return parse_mariadb(text) if self.is_mariadb else parse_mysql(text)


@dataclass(frozen=True, kw_only=True, slots=True)
class TableFacts:
    """`columns`: (name, data type, character set or None). `cascades`: foreign keys that change this table's rows."""

    name: TableName
    kind: str
    engine: str
    is_transactional: bool
    has_primary_key: bool
    columns: tuple[tuple[str, str, str | None], ...]
    cascades: tuple[str, ...]


def judge_server(facts: ServerFacts) -> list[Finding]:
    """Every need of reading the binlog, met or not."""
    wanted: list[tuple[str, tuple[str | None, ...], str]] = [
        ("log_bin", ("ON", "1"), "start the server with log_bin"),
        ("binlog_format", ("ROW",), "SET GLOBAL binlog_format = ROW, and in its configuration"),
        ("binlog_row_image", ("FULL",), "SET GLOBAL binlog_row_image = FULL, and in its configuration"),
        (
            "binlog_row_metadata",
            ("FULL",),
            "SET GLOBAL binlog_row_metadata = FULL, and in its configuration (MySQL 8.0.1, MariaDB 10.5 on)",
        ),
    ]
    if not facts.is_mariadb:
        wanted += [
            ("binlog_row_value_options", ("", None), "SET GLOBAL binlog_row_value_options = ''"),
            (
                "binlog_transaction_compression",
                ("OFF", None),
                "SET GLOBAL binlog_transaction_compression = OFF, and in its configuration",
            ),
        ]
    return [_variable(facts, name, values, mend) for name, values, mend in wanted]


def judge_tables(tables: Iterable[TableName], facts: Mapping[TableName, TableFacts]) -> list[Finding]:
    """One finding a table: the first thing that keeps it from being captured, or that nothing does."""
    return [_judge_table(table, facts.get(table)) for table in tables]


def _variable(facts: ServerFacts, name: str, values: tuple[str | None, ...], mend: str) -> Finding:
    value = facts.variables.get(name)
    ok = (value.upper() if value is not None else None) in values
    shown = "unknown to this version" if value is None else value or "empty"
    return Finding(check=name, ok=ok, thing=f"{name} of {facts.place}", reason=f"is {shown}", mend="" if ok else mend)


def _judge_table(table: TableName, facts: TableFacts | None) -> Finding:
    name = f"{table.schema}.{table.name}"
    problem = _problem(facts) if facts is not None else _MISSING
    if problem is None:
        return Finding(check="table", ok=True, thing=f"table {name}", reason="can be captured")
    return Finding(check="table", ok=False, thing=f"table {name}", reason=problem[0], mend=problem[1])


_MISSING: Final = (
    "does not exist, or this account may not see it",
    "correct the name, or grant the account SELECT on it",
)


def _problem(facts: TableFacts) -> tuple[str, str] | None:
    name = f"`{facts.name.schema}`.`{facts.name.name}`"
    if facts.kind != "BASE TABLE":
        return f"is a {facts.kind.lower()}", "name an ordinary table"
    if not facts.is_transactional:
        return (
            f"is kept by {facts.engine}, which has no transactions: what was rolled back would be copied",
            f"run ALTER TABLE {name} ENGINE = InnoDB",
        )
    if not facts.has_primary_key:
        return "has no primary key, so its rows cannot be told apart", f"run ALTER TABLE {name} ADD PRIMARY KEY (…)"
    if facts.cascades:
        return (
            f"is changed by foreign key {facts.cascades[0]} (ON DELETE or UPDATE CASCADE, SET NULL), and the server "
            "does not log such changes",
            "make the foreign key RESTRICT and let the application change the rows",
        )
    for column, kind, charset in facts.columns:
        if kind in _REFUSED_TYPES:
            return (
                f"has column {column}, which is {_REFUSED_TYPES[kind]} and cannot be captured exactly",
                "leave the table out of the move, or keep the value as text in another column",
            )
        if charset is not None and charset not in SUPPORTED | {BINARY}:
            return (
                f"has column {column} in the character set {charset}, whose conversion to Unicode is not known to be "
                "exact here",
                f"convert it: ALTER TABLE {name} CONVERT TO CHARACTER SET utf8mb4",
            )
    return None
