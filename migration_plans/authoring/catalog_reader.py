"""The live definition of some tables of a PostgreSQL database, with all that they need. Reads catalogs, never rows."""

import difflib
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final, NoReturn

import psycopg
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import dict_row

from migration_plans.authoring import catalog_queries as queries
from migration_plans.authoring.catalog_objects import Row
from migration_plans.authoring.catalog_tables import CatalogTables
from migration_plans.authoring.definitions import literal
from migration_plans.authoring.legacy_schema import ForeignKey, LegacySchema
from migration_plans.errors import PlanNotAuthored, SourceUnreadable
from strangler.redaction import redact

_SETTINGS: Final = {
    "statement_timeout": "60000",
    "datestyle": "'ISO, YMD'",
    "intervalstyle": "postgres",
    "timezone": "UTC",
    "quote_all_identifiers": "off",
    "search_path": "''",
}
"""So that definitions are printed the same, whatever the role or the database has set."""
_LOCALE_PROVIDERS: Final = {"i": ("icu", "ICU_LOCALE"), "b": ("builtin", "BUILTIN_LOCALE")}
_NOT_MOVABLE: Final = {
    "v": ("is a view", "name the tables that it reads"),
    "m": ("is a materialized view", "name the tables that it reads"),
    "f": ("is a foreign table", "move it where its rows are"),
}


def read_schema(url: str, names: Sequence[str]) -> LegacySchema:
    """The tables `names` (`orders`, `shop.orders`), in this order, as they are at one moment.

    Raises `SourceUnreadable` when the database does not answer or refuses; `PlanNotAuthored` for a URL of another kind
    of server, for a name that is no table, and for a table that no plan can move.
    """
    _demand_postgresql(url)
    try:
        with psycopg.connect(url, row_factory=dict_row, connect_timeout=10, application_name="strangler") as connection:
            connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            connection.read_only = True
            return _Reading(connection).schema(names)
    except psycopg.Error as error:
        raise SourceUnreadable(
            thing=f"legacy database {redact(url)}",
            reason=" ".join(redact(str(error)).split()) or type(error).__name__,
            mend="check that it runs, and that the URL and the role's privileges are right",
        ) from None


class _Reading:
    """Names are resolved as the session would; all else is read with an empty search path."""

    def __init__(self, connection: psycopg.Connection[Row]) -> None:
        self._connection = connection
        (row,) = self._rows("SELECT coalesce(current_schema(), 'public') AS name")
        self._default_schema: str = row["name"]
        for name, value in _SETTINGS.items():
            connection.execute(f"SET LOCAL {name} = {value}".encode())

    def schema(self, names: Sequence[str]) -> LegacySchema:
        chosen = self._chosen(names)
        partitions = self._rows(queries.PARTITIONS, oids=list(chosen))
        root_of = {row["oid"]: row["root"] for row in partitions} | {oid: oid for oid in chosen}
        details = {row["oid"]: row for row in self._rows(queries.DETAILS, oids=list(root_of))}
        read = CatalogTables(self._connection, list(root_of))
        tables = tuple(
            read.table(name, details[oid], [details[row["oid"]] for row in partitions if row["root"] == oid])
            for oid, name in chosen.items()
        )
        for table in tables:
            if table.heirs:
                _refuse(
                    f"table {table.name}",
                    f"{', '.join(table.heirs)} inherit from it, and their rows arrive under their own names",
                    "move the heirs as tables of their own, or make it a partitioned table first",
                )
        keys = self._foreign_keys(root_of)
        (database,) = self._rows(queries.DATABASE)
        schemas = {row["schema_sql"] for row in details.values()} | read.objects.schemas | read.sequence_schemas
        return LegacySchema(
            database=database["name"],
            locale=_locale(database["encoding"], database["facts"]),
            version=database["version"],
            tables=tables,
            objects=read.objects.objects,
            sequences=tuple(read.sequences),
            extensions=read.objects.extensions,
            schemas=tuple(sorted(schemas - {"public", "pg_catalog"})),
            inner_keys=keys["inner"],
            outward_keys=keys["outward"],
            inward_keys=keys["inward"],
            reading_functions=frozenset(row["name"] for row in self._rows(queries.READING_FUNCTIONS)),
            writable_views=frozenset(row["name"] for row in self._rows(queries.WRITABLE_VIEWS)),
        )

    def _chosen(self, names: Sequence[str]) -> dict[int, str]:
        """Oid → name in a plan, in the order of `names`."""
        by_name: dict[str, Row] = {}
        for row in sorted(self._rows(queries.TABLES, default=self._default_schema), key=lambda row: row["in_default"]):
            by_name[f"{row['schema']}.{row['name']}"] = row
            if row["in_default"] or row["schema"] == "public":
                by_name[row["name"]] = row
        chosen: dict[int, str] = {}
        for name in names:
            row = by_name.get(name) or _unknown_table(name, by_name)
            _demand_movable(name, row)
            chosen[row["oid"]] = _plan_name(row["schema"], row["name"])
        return chosen

    def _foreign_keys(self, root_of: Mapping[int, int]) -> Mapping[str, tuple[ForeignKey, ...]]:
        """`inner`, `outward` and `inward`, seen from the moved tables; a partition's own key is among them."""
        found: dict[str, list[ForeignKey]] = {"inner": [], "outward": [], "inward": []}
        for row in self._rows(queries.FOREIGN_KEYS, oids=list(root_of)):
            starts, ends = row["table_oid"] in root_of, row["ref_oid"] in root_of
            found["inner" if starts and ends else "outward" if starts else "inward"].append(
                ForeignKey(
                    name=row["name"],
                    sql=row["sql"],
                    table=_plan_name(row["schema"], row["table"]),
                    table_sql=row["table_sql"],
                    whole=_plan_name(row["whole_schema"], row["whole"]),
                    columns=tuple(row["columns"]),
                    ref_table=_plan_name(row["ref_schema"], row["ref_table"]),
                    ref_columns=tuple(row["ref_columns"]),
                    on_delete=row["on_delete"],
                    on_update=row["on_update"],
                    definition=row["definition"],
                    comment=row["comment"],
                )
            )
        return {kind: tuple(keys) for kind, keys in found.items()}

    def _rows(self, query: str, **parameters: Any) -> list[Row]:
        return self._connection.execute(query.encode(), parameters).fetchall()


def _plan_name(schema: str, name: str) -> str:
    return name if schema == "public" else f"{schema}.{name}"


def _demand_postgresql(url: str) -> None:
    scheme = url.partition("://")[0] if "://" in url else "postgresql"
    if scheme.partition("+")[0] not in ("postgresql", "postgres"):
        _refuse(
            f"legacy database {redact(url)}",
            "is no PostgreSQL: a plan moves tables between PostgreSQL databases only",
            "copy and follow its tables with `strangler cdc stream` instead (docs/other-sources.md)",
        )
    try:
        conninfo_to_dict(url)
    except psycopg.ProgrammingError:
        _refuse("legacy database", "its URL is malformed", "write it as postgresql://user:password@host:5432/name")


def _demand_movable(name: str, row: Row) -> None:
    if problem := _NOT_MOVABLE.get(row["kind"]):
        _refuse(f"table {name}", *problem)
    if row["is_partition"]:
        _refuse(f"table {name}", "is a partition", "name the partitioned table: its partitions move with it")
    if "." in row["name"]:
        _refuse(f"table {name!r}", "has a dot in its name, which a plan takes for the schema's", "rename it first")


def _unknown_table(name: str, known: Collection[str]) -> NoReturn:
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    shown = ", ".join(sorted(known)[:8]) + (f" and {len(known) - 8} more" if len(known) > 8 else "")
    _refuse(
        f"table {name!r}",
        "is not in the legacy database, or this role may not see it",
        f"did you mean {close[0]!r}?" if close else f"name some of: {shown or '(there are none)'}",
    )


def _refuse(thing: str, reason: str, mend: str) -> NoReturn:
    raise PlanNotAuthored(thing=thing, reason=reason, mend=mend)


def _locale(encoding: str, facts: Mapping[str, Any]) -> str:
    """What `CREATE DATABASE` needs to sort and compare as this database does. `facts`: the row of pg_database."""
    parts = [f"ENCODING {literal(encoding)}"]
    if facts["datcollate"] == facts["datctype"]:
        parts.append(f"LOCALE {literal(facts['datcollate'])}")
    else:
        parts.append(f"LC_COLLATE {literal(facts['datcollate'])} LC_CTYPE {literal(facts['datctype'])}")
    if named := _LOCALE_PROVIDERS.get(facts.get("datlocprovider", "c")):
        provider, option = named
        locale = facts.get("datlocale") or facts.get("daticulocale")
        parts.append(f"LOCALE_PROVIDER {provider} {option} {literal(str(locale))}")
    return " ".join(parts)
