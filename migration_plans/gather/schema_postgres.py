"""What only PostgreSQL's catalogs tell: sizes, partitions, triggers, routines, sequences."""

from sqlalchemy import Connection, text

from migration_plans.gather.schema_facts import RoutineText, Sequence, Trigger

_USER_SCHEMAS = "n.nspname NOT IN ('pg_catalog', 'information_schema', 'strangler') AND n.nspname !~ '^pg_'"
_NAME = "CASE WHEN n.nspname = :default THEN '' ELSE n.nspname || '.' END"
_SIZES = text(f"""
SELECT {_NAME} || c.relname,
       CASE WHEN c.reltuples >= 0 AND NOT (c.reltuples = 0 AND coalesce(s.n_live_tup, 0) > 0)
            THEN c.reltuples::bigint ELSE s.n_live_tup END,
       pg_total_relation_size(c.oid)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_stat_all_tables s ON s.relid = c.oid
WHERE c.relkind IN ('r', 'p', 'f') AND {_USER_SCHEMAS}
""")
_PARTITIONS = text(f"""
SELECT {_NAME} || c.relname, {_NAME.replace("n.", "rn.")} || r.relname
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_class r ON r.oid = pg_partition_root(c.oid) JOIN pg_namespace rn ON rn.oid = r.relnamespace
WHERE c.relispartition AND c.relkind IN ('r', 'p', 'f') AND {_USER_SCHEMAS}
""")
_TRIGGERS = text(f"""
SELECT t.tgname, {_NAME} || c.relname, {_NAME.replace("n.", "pn.")} || p.proname
FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_proc p ON p.oid = t.tgfoid JOIN pg_namespace pn ON pn.oid = p.pronamespace
WHERE NOT t.tgisinternal AND t.tgparentid = 0 AND pn.nspname <> 'strangler' AND {_USER_SCHEMAS}
ORDER BY 1, 2
""")
_ROUTINES = text(f"""
SELECT {_NAME} || p.proname, l.lanname, coalesce(nullif(p.prosrc, ''), pg_get_function_sqlbody(p.oid), '')
FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace JOIN pg_language l ON l.oid = p.prolang
WHERE p.prokind IN ('f', 'p') AND l.lanname NOT IN ('c', 'internal') AND {_USER_SCHEMAS}
  AND NOT EXISTS (SELECT 1 FROM pg_depend d
                  WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e')
ORDER BY 1
""")
_ROUTINES_13 = text(str(_ROUTINES).replace("pg_get_function_sqlbody(p.oid), ", ""))
_SEQUENCES = text(f"""
SELECT {_NAME} || c.relname, {_NAME.replace("n.", "tn.")} || t.relname, a.attname
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_depend d ON d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype IN ('a', 'i')
     AND d.refclassid = 'pg_class'::regclass AND d.refobjsubid > 0
LEFT JOIN pg_class t ON t.oid = d.refobjid LEFT JOIN pg_namespace tn ON tn.oid = t.relnamespace
LEFT JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
WHERE c.relkind = 'S' AND {_USER_SCHEMAS}
ORDER BY 1
""")
_OF_EXTENSIONS = text(f"""
SELECT {_NAME} || c.relname
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_depend d ON d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e'
WHERE {_USER_SCHEMAS}
""")
_WITH_SQL_BODIES = (14,)


def sizes(connection: Connection, default: str) -> dict[str, tuple[int | None, int | None]]:
    """Rows (estimated by the last ANALYZE or the statistics) and bytes with indexes and TOAST, per table."""
    rows = connection.execute(_SIZES, {"default": default})
    return {name: (None if count is None else max(0, count), size) for name, count, size in rows}


def partitions(connection: Connection, default: str) -> dict[str, str]:
    """Partition → the table at the top."""
    return {name: root for name, root in connection.execute(_PARTITIONS, {"default": default})}  # noqa: C416


def of_extensions(connection: Connection, default: str) -> frozenset[str]:
    """Tables and views that came with an extension: nobody's business."""
    return frozenset(connection.execute(_OF_EXTENSIONS, {"default": default}).scalars())


def triggers(connection: Connection, default: str) -> list[Trigger]:
    """Triggers that somebody made, with the routine that each runs."""
    rows = connection.execute(_TRIGGERS, {"default": default})
    return [Trigger(name=name, table=table, routine=routine) for name, table, routine in rows]


def routines(connection: Connection, default: str) -> list[RoutineText]:
    """Functions and procedures that belong to no extension."""
    major = int((connection.dialect.server_version_info or _WITH_SQL_BODIES)[0])
    statement = _ROUTINES if major >= _WITH_SQL_BODIES[0] else _ROUTINES_13
    rows = connection.execute(statement, {"default": default})
    return [RoutineText(name=name, language=language, body=body) for name, language, body in rows]


def sequences(connection: Connection, default: str) -> list[Sequence]:
    """Sequences with the columns that own them."""
    rows = connection.execute(_SEQUENCES, {"default": default})
    return [Sequence(name=name, table=table, column=column) for name, table, column in rows]
