"""The live schema of any database that SQLAlchemy knows, by reflection; more of it on PostgreSQL and MySQL.

Only catalogs and statistics are read, never rows, in a session that cannot write (PostgreSQL).
"""

import contextlib
import warnings
from collections.abc import Iterator, Mapping
from typing import Any, Final

from sqlalchemy import Connection, Engine, create_engine, event, inspect, make_url, text
from sqlalchemy.engine.interfaces import ReflectedForeignKeyConstraint, ReflectedIndex
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SAWarning, SQLAlchemyError

from migration_plans.errors import SourceUnreadable
from migration_plans.gather import schema_postgres
from migration_plans.gather.requests import OURS
from migration_plans.gather.schema_facts import ForeignKey, Index, SchemaFacts, Table, Trigger
from migration_plans.gather.sql import Dialect
from migration_plans.gather.statement import Catalog
from migration_plans.gather.stored_code import routines_of, views_of
from strangler.errors import BadInput
from strangler.redaction import redact

_DRIVERS: Final = {"postgresql": "postgresql+psycopg", "postgres": "postgresql+psycopg", "mysql": "mysql+pymysql",
                   "mariadb": "mariadb+pymysql"}  # fmt: skip
_DIALECTS: Final[Mapping[str, Dialect]] = {
    "postgresql": "postgres", "mysql": "mysql", "mariadb": "mysql", "sqlite": "sqlite", "oracle": "oracle",
    "mssql": "tsql",
}  # fmt: skip
_LEFT_OUT_SCHEMAS: Final = frozenset(
    {"information_schema", "pg_catalog", "pg_toast", "mysql", "performance_schema", "sys"}
)
_HOUSEKEEPING: Final = frozenset(
    {
        *("alembic_version", "django_migrations", "schema_migrations", "ar_internal_metadata", "flyway_schema_history"),
        *("databasechangelog", "databasechangeloglock", "knex_migrations", "knex_migrations_lock", "goose_db_version"),
        *("_prisma_migrations", "__EFMigrationsHistory", "doctrine_migration_versions", "phinxlog", "sqlite_sequence"),
    }
)
"""Tables in which migration tools note what they have done: no service owns them."""
_OUR_SCHEMA: Final = "strangler"
_STATEMENT_TIMEOUT_S: Final = 120
_MYSQL_SIZES: Final = text(
    "SELECT table_name, table_rows, data_length + index_length FROM information_schema.tables "
    "WHERE table_schema = database() AND table_type = 'BASE TABLE'"
)
_Name = tuple[str | None, str]


@contextlib.contextmanager
def reading(url: str) -> Iterator[Connection]:
    """A connection that reads. Raises `SourceUnreadable` for whatever the database says inside."""
    engine = _engine(url)
    try:
        with engine.connect() as connection:
            yield connection
    except SQLAlchemyError as error:
        reason = str(getattr(error, "orig", None) or error).strip().splitlines()
        raise SourceUnreadable(
            thing=redact(url),
            reason=redact(reason[0] if reason else type(error).__name__),
            mend="check that it runs, and that the account may read its catalogs",
        ) from error
    finally:
        engine.dispose()


def read_schema(connection: Connection) -> SchemaFacts:
    """Everything that the catalogs tell. Schemas besides the default one are told apart by a prefix."""
    with warnings.catch_warnings():
        # Types and indexes that SQLAlchemy does not know matter to nobody here.
        warnings.simplefilter("ignore", SAWarning)
        return _read_schema(connection)


def _read_schema(connection: Connection) -> SchemaFacts:
    inspector = inspect(connection)
    is_postgres = connection.dialect.name == "postgresql"
    default = inspector.default_schema_name or ""
    schemas: list[str | None] = [None]
    if is_postgres:
        schemas += [
            name
            for name in inspector.get_schema_names()
            if name not in {*_LEFT_OUT_SCHEMAS, default, _OUR_SCHEMA} and not name.startswith("pg_")
        ]
    columns: dict[_Name, Any] = {}
    keys: dict[_Name, Any] = {}
    indexes: dict[_Name, Any] = {}
    uniques: dict[_Name, Any] = {}
    references: dict[_Name, list[ReflectedForeignKeyConstraint]] = {}
    definitions: dict[str, str] = {}
    for schema in schemas:
        columns |= inspector.get_multi_columns(schema=schema)
        keys |= inspector.get_multi_pk_constraint(schema=schema)
        indexes |= inspector.get_multi_indexes(schema=schema)
        with contextlib.suppress(NotImplementedError):
            uniques |= inspector.get_multi_unique_constraints(schema=schema)
        references |= inspector.get_multi_foreign_keys(schema=schema)
        for view in [*inspector.get_view_names(schema=schema), *_materialized(inspector, schema)]:
            definitions[_name(schema, view)] = inspector.get_view_definition(view, schema=schema) or ""
    foreign = schema_postgres.of_extensions(connection, default) if is_postgres else frozenset()
    definitions = {name: text for name, text in definitions.items() if name not in foreign}
    partitions = schema_postgres.partitions(connection, default) if is_postgres else {}
    sizes = _sizes(connection, default)
    tables = {}
    for (schema, bare), described in sorted(columns.items(), key=lambda item: _name(*item[0])):
        name = _name(schema, bare)
        if name in partitions or name in definitions or name in foreign or bare in _HOUSEKEEPING:
            continue
        rows, size = sizes.get(name, (None, None))
        tables[name] = Table(
            columns=tuple(column["name"] for column in described),
            primary_key=tuple((keys.get((schema, bare)) or {}).get("constrained_columns") or ()),
            indexes=_indexes(indexes.get((schema, bare)) or [], uniques.get((schema, bare)) or []),
            rows=rows,
            bytes=size,
        )
    dialect = _DIALECTS.get(connection.dialect.name, "postgres")
    catalog = Catalog(
        columns={name: table.columns for name, table in tables.items()},
        partitions=partitions,
        default_schemas=(default,),
    )
    views, view_problems = views_of(definitions, catalog, dialect)
    texts = schema_postgres.routines(connection, default) if is_postgres else []
    catalog = Catalog(columns=catalog.columns, views=views, partitions=partitions, default_schemas=(default,))
    routines, routine_problems = routines_of(texts, catalog, dialect)
    triggers = tuple(
        Trigger(
            name=trigger.name,
            table=partitions.get(trigger.table, trigger.table),
            routine=trigger.routine,
            accesses=routines[trigger.routine].accesses if trigger.routine in routines else (),
        )
        for trigger in (schema_postgres.triggers(connection, default) if is_postgres else ())
        if partitions.get(trigger.table, trigger.table) in tables
    )
    return SchemaFacts(
        dialect=dialect,
        default_schema=default,
        tables=tables,
        foreign_keys=_foreign_keys(references, partitions, tables, default),
        views=views,
        routines=routines,
        triggers=triggers,
        sequences=tuple(schema_postgres.sequences(connection, default)) if is_postgres else (),
        partitions=partitions,
        not_understood=(*view_problems, *routine_problems),
    )


def _engine(url: str) -> Engine:
    try:
        parsed = make_url(url)
        engine = create_engine(parsed.set(drivername=_DRIVERS.get(parsed.drivername, parsed.drivername)))
    except (ArgumentError, NoSuchModuleError, ModuleNotFoundError) as error:
        raise BadInput(
            thing=redact(url),
            reason=f"is no database that can be read: {redact(str(error))}",
            mend="give postgresql://…, mysql://…, sqlite:///… or any SQLAlchemy URL whose driver is installed",
        ) from error

    @event.listens_for(engine, "before_cursor_execute", retval=True)
    def _say_whose(_: Any, __: Any, statement: str, values: Any, *___: Any) -> tuple[str, Any]:
        return (statement if statement.startswith("/*") else f"{OURS} {statement}"), values

    if engine.dialect.name == "postgresql":

        @event.listens_for(engine, "connect")
        def _only_read(connection: Any, _: Any) -> None:
            with connection.cursor() as cursor:
                cursor.execute("SET default_transaction_read_only = on")
                cursor.execute("SET application_name = 'strangler gather'")
                cursor.execute(f"SET statement_timeout = '{_STATEMENT_TIMEOUT_S}s'")
            connection.commit()

    return engine


def _materialized(inspector: Any, schema: str | None) -> list[str]:
    try:
        return list(inspector.get_materialized_view_names(schema=schema))
    except NotImplementedError:
        return []


def _name(schema: str | None, table: str) -> str:
    return f"{schema}.{table}" if schema else table


def _indexes(indexes: list[ReflectedIndex], uniques: list[Any]) -> tuple[Index, ...]:
    found = {
        str(one["name"]): Index(
            name=str(one["name"]),
            columns=tuple(column for column in one["column_names"] if column is not None),
            unique=bool(one.get("unique")) and None not in one["column_names"],
        )
        for one in indexes
    }
    for one in uniques:
        name = str(one["name"])
        found[name] = Index(name=name, columns=tuple(one["column_names"]), unique=True)
    return tuple(found[name] for name in sorted(found))


def _foreign_keys(
    references: Mapping[_Name, list[ReflectedForeignKeyConstraint]],
    partitions: Mapping[str, str],
    tables: Mapping[str, Table],
    default: str,
) -> tuple[ForeignKey, ...]:
    found: dict[ForeignKey, None] = {}
    for (schema, bare), keys in references.items():
        table = _name(schema, bare)
        for key in keys:
            other = key["referred_schema"]
            target = _name(None if other == default else other, key["referred_table"])
            source, target = partitions.get(table, table), partitions.get(target, target)
            if source in tables and target in tables:
                declared = ForeignKey(
                    table=source,
                    columns=tuple(key["constrained_columns"]),
                    target=target,
                    target_columns=tuple(key["referred_columns"]),
                    on_delete=str((key.get("options") or {}).get("ondelete") or "NO ACTION").upper(),
                )
                found[declared] = None
    return tuple(sorted(found, key=lambda key: (key.table, key.columns, key.target)))


def _sizes(connection: Connection, default: str) -> Mapping[str, tuple[int | None, int | None]]:
    """Rows and bytes per table, as the server's statistics have them."""
    if connection.dialect.name == "postgresql":
        return schema_postgres.sizes(connection, default)
    if connection.dialect.name in {"mysql", "mariadb"}:
        return {name: (rows, size) for name, rows, size in connection.execute(_MYSQL_SIZES)}
    return {}
