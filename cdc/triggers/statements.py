"""The SQL of trigger capture. Pure text.

A row is written as its text, `(1,"a b",)`: each value by its type's output function, under the settings that make those
exact, since the function carries them itself. The columns are read from the catalog with every row: an ALTER TABLE can
neither make the application's writes fail nor be missed.

Order. A sequence number per change, taken when the row was written, and the transaction that wrote it. A change that
depends on another one was written after that one's commit, so within one snapshot the highest number of a transaction
orders it rightly; and a snapshot that shows a transaction shows everything that committed before it. The reader gives
each transaction that a snapshot newly shows a position, durably: one that commits late gets a higher one.
"""

from typing import Final

from cdc.connections import CANONICAL_SETTINGS

CHANGE_TABLE: Final = "captured_change"
POSITION_TABLE: Final = "captured_position"
STREAM_TABLE: Final = "captured_stream"
TABLES: Final = (CHANGE_TABLE, POSITION_TABLE, STREAM_TABLE)
FUNCTION: Final = "capture_change"
MARK: Final = "strangler trigger capture 1"
"""The comment that says that an object is ours, and of which form."""

_SETTINGS = " ".join(f"SET {name} = '{value}'" for name, value in CANONICAL_SETTINGS.items())

CREATE: Final = (
    "CREATE SCHEMA IF NOT EXISTS strangler",
    """
    CREATE TABLE IF NOT EXISTS strangler.captured_stream (
        stream text PRIMARY KEY,
        last_position bigint NOT NULL DEFAULT 0,
        acknowledged bigint NOT NULL DEFAULT 0,
        tables oid[] NOT NULL DEFAULT '{}',
        installed_at timestamptz NOT NULL DEFAULT now()
    )
    """,
    """
    CREATE TABLE IF NOT EXISTS strangler.captured_change (
        seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        stream text NOT NULL,
        xid xid8 NOT NULL DEFAULT pg_current_xact_id(),
        at timestamptz NOT NULL DEFAULT clock_timestamp(),
        op "char" NOT NULL,
        table_schema text,
        table_name text,
        relation oid,
        columns jsonb,
        old text,
        new text,
        prefix text,
        content bytea
    )
    """,
    "CREATE INDEX IF NOT EXISTS captured_change_xid ON strangler.captured_change (stream, xid, seq)",
    """
    CREATE TABLE IF NOT EXISTS strangler.captured_position (
        stream text NOT NULL,
        position bigint NOT NULL,
        xid xid8 NOT NULL,
        PRIMARY KEY (stream, position)
    )
    """,
    "CREATE INDEX IF NOT EXISTS captured_position_xid ON strangler.captured_position (stream, xid)",
    f"""
    CREATE OR REPLACE FUNCTION strangler.capture_change() RETURNS trigger
        LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp {_SETTINGS} AS $capture$
    DECLARE
        described jsonb;
        old_row text;
        new_row text;
        operation text := CASE TG_OP WHEN 'INSERT' THEN 'c' WHEN 'UPDATE' THEN 'u' WHEN 'DELETE' THEN 'd' ELSE 't' END;
    BEGIN
        SELECT jsonb_agg(jsonb_build_array(a.attname, a.atttypid::bigint, a.atttypmod,
                                           coalesce(a.attnum = ANY (i.indkey::int2[]), false), a.attgenerated <> '')
                         ORDER BY a.attnum)
          INTO described
          FROM pg_attribute a
          LEFT JOIN pg_index i ON i.indrelid = a.attrelid AND i.indisprimary
         WHERE a.attrelid = TG_RELID AND a.attnum > 0 AND NOT a.attisdropped;
        IF TG_OP IN ('UPDATE', 'DELETE') THEN
            old_row := OLD::text;
        END IF;
        IF TG_OP IN ('INSERT', 'UPDATE') THEN
            new_row := NEW::text;
        END IF;
        INSERT INTO strangler.captured_change (stream, op, table_schema, table_name, relation, columns, old, new)
        VALUES (TG_ARGV[0], operation::"char", TG_ARGV[1], TG_ARGV[2], TG_ARGV[3]::oid, described, old_row, new_row);
        RETURN NULL;
    END
    $capture$
    """,
    f"COMMENT ON FUNCTION strangler.capture_change() IS '{MARK}'",
    *(f"COMMENT ON TABLE strangler.{name} IS '{MARK}'" for name in TABLES),
)

FOREIGN: Final = f"""
    SELECT 'table strangler.' || name AS thing FROM unnest(%(tables)s::text[]) AS name
     WHERE to_regclass('strangler.' || name) IS NOT NULL
       AND obj_description(to_regclass('strangler.' || name), 'pg_class') IS DISTINCT FROM '{MARK}'
    UNION ALL
    SELECT 'function strangler.{FUNCTION}()' WHERE to_regprocedure('strangler.{FUNCTION}()') IS NOT NULL
       AND obj_description(to_regprocedure('strangler.{FUNCTION}()'), 'pg_proc') IS DISTINCT FROM '{MARK}'
    UNION ALL
    SELECT 'trigger ' || t.tgname || ' on ' || t.tgrelid::regclass FROM pg_trigger t
     WHERE t.tgname = ANY (%(triggers)s::name[]) AND t.tgfoid IS DISTINCT FROM to_regprocedure('strangler.{FUNCTION}()')
"""

TRIGGERS: Final = f"""
    SELECT n.nspname AS schema, c.relname AS name, t.tgname AS trigger FROM pg_trigger t
      JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE t.tgfoid = to_regprocedure('strangler.{FUNCTION}()') AND t.tgparentid = 0
       AND (t.tgname = ANY (%(triggers)s::name[]) OR cardinality(%(triggers)s::name[]) = 0)
     ORDER BY 1, 2, 3
"""

ASSIGN: Final = """
    WITH news AS (
        SELECT c.xid, row_number() OVER (ORDER BY max(c.seq)) AS number
          FROM strangler.captured_change c
         WHERE c.stream = %(stream)s
           AND NOT EXISTS (SELECT FROM strangler.captured_position p WHERE p.stream = c.stream AND p.xid = c.xid)
         GROUP BY c.xid
    ), moved AS (
        UPDATE strangler.captured_stream SET last_position = last_position + (SELECT count(*) FROM news)
         WHERE stream = %(stream)s
        RETURNING last_position
    )
    INSERT INTO strangler.captured_position (stream, position, xid)
    SELECT %(stream)s, moved.last_position - (SELECT count(*) FROM news) + news.number, news.xid FROM news, moved
"""

UNASSIGNED: Final = """
    SELECT EXISTS (SELECT FROM strangler.captured_change c WHERE c.stream = %(stream)s
                      AND NOT EXISTS (SELECT FROM strangler.captured_position p
                                       WHERE p.stream = c.stream AND p.xid = c.xid)) AS news,
           floor(extract(epoch FROM clock_timestamp()) * 1000000)::bigint AS now_us
"""

POSITIONS: Final = """
    SELECT p.position, p.xid::text AS xid, count(*) AS changes,
           sum(coalesce(pg_column_size(c.old), 0) + coalesce(pg_column_size(c.new), 0)
               + coalesce(length(c.content), 0))::bigint AS bytes
      FROM (SELECT * FROM strangler.captured_position
             WHERE stream = %(stream)s AND position > %(after)s ORDER BY position LIMIT %(limit)s) p
      JOIN strangler.captured_change c ON c.stream = p.stream AND c.xid = p.xid
     GROUP BY p.position, p.xid ORDER BY p.position
"""

CHANGES: Final = """
    SELECT p.position, c.op::text AS op, c.table_schema, c.table_name, c.relation, c.columns, c.old, c.new, c.prefix,
           c.content, p.xid::text AS xid, floor(extract(epoch FROM c.at) * 1000000)::bigint AS at_us
      FROM strangler.captured_position p
      JOIN strangler.captured_change c ON c.stream = p.stream AND c.xid = p.xid
     WHERE p.stream = %(stream)s AND p.position > %(after)s AND p.position <= %(through)s
     ORDER BY p.position, c.seq
"""

PRUNE: Final = """
    WITH gone AS (
        DELETE FROM strangler.captured_position WHERE stream = %(stream)s AND position <= %(through)s RETURNING xid
    ), removed AS (
        DELETE FROM strangler.captured_change c USING gone WHERE c.stream = %(stream)s AND c.xid = gone.xid
    )
    UPDATE strangler.captured_stream SET acknowledged = greatest(acknowledged, %(through)s) WHERE stream = %(stream)s
"""

STATE: Final = """
    SELECT last_position, acknowledged,
           floor(extract(epoch FROM clock_timestamp()) * 1000000)::bigint AS now_us
      FROM strangler.captured_stream WHERE stream = %(stream)s
"""

BROKEN: Final = """
    SELECT CASE WHEN c.oid IS NULL THEN 'a table was dropped'
                ELSE 'table ' || c.oid::regclass || ' lacks a trigger, or has one that does not fire' END AS thing
      FROM strangler.captured_stream s CROSS JOIN LATERAL unnest(s.tables) AS wanted (oid)
      LEFT JOIN pg_class c ON c.oid = wanted.oid
     WHERE s.stream = %(stream)s
       AND (SELECT count(*) FROM pg_trigger t
             WHERE t.tgrelid = wanted.oid AND t.tgname = ANY (%(triggers)s::name[]) AND t.tgenabled = 'O')
           < cardinality(%(triggers)s::name[])
     LIMIT 1
"""

EMIT: Final = """
    INSERT INTO strangler.captured_change (stream, op, prefix, content)
    VALUES (%(stream)s, 'm', %(prefix)s, %(content)s)
"""
