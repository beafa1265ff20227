"""Questions to PostgreSQL's catalog, asked with an empty search path, so that every answer is qualified. Pure."""

from typing import Final

TABLES: Final = """
SELECT c.oid, n.nspname AS schema, c.relname AS name, c.relkind AS kind, c.relispartition AS is_partition,
       n.nspname = %(default)s AS in_default
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE c.relkind IN ('r', 'p', 'f', 'v', 'm')
   AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'strangler') AND n.nspname !~ '^pg_(toast|temp)'
 ORDER BY n.nspname, c.relname
"""

DATABASE: Final = """
SELECT current_database() AS name, current_setting('server_version_num')::int / 10000 AS version,
       pg_encoding_to_char(d.encoding) AS encoding, to_jsonb(d) AS facts
  FROM pg_database d WHERE d.datname = current_database()
"""

DETAILS: Final = """
SELECT c.oid, n.nspname AS schema, c.relname AS name, format('%%I.%%I', n.nspname, c.relname) AS sql,
       quote_ident(n.nspname) AS schema_sql,
       CASE WHEN c.relkind = 'p' THEN pg_get_partkeydef(c.oid) END AS key,
       pg_get_expr(c.relpartbound, c.oid) AS bounds,
       coalesce(c.reloptions, '{}') || ARRAY(
         SELECT 'toast.' || o.option FROM pg_class t CROSS JOIN unnest(t.reloptions) AS o (option)
          WHERE t.oid = c.reltoastrelid) AS options, c.relreplident AS replica_identity,
       (SELECT quote_ident(ic.relname) FROM pg_index i JOIN pg_class ic ON ic.oid = i.indexrelid
         WHERE i.indrelid = c.oid AND i.indisreplident) AS identity_index,
       (SELECT quote_ident(ic.relname) FROM pg_index i JOIN pg_class ic ON ic.oid = i.indexrelid
         WHERE i.indrelid = c.oid AND i.indisclustered) AS clustered_on,
       ARRAY(SELECT p.pubname::text FROM pg_publication_tables p
              WHERE p.schemaname = n.nspname AND p.tablename = c.relname AND p.pubname NOT LIKE 'strangler\\_%%'
              ORDER BY 1) AS publications,
       obj_description(c.oid, 'pg_class') AS comment, c.relpersistence = 'p' AS is_logged,
       c.relrowsecurity AS row_security,
       ARRAY(SELECT h.inhrelid::regclass::text FROM pg_inherits h JOIN pg_class hc ON hc.oid = h.inhrelid
              WHERE h.inhparent = c.oid AND NOT hc.relispartition ORDER BY 1) AS heirs,
       ARRAY(SELECT h.inhparent::regclass::text FROM pg_inherits h
              WHERE h.inhrelid = c.oid AND NOT c.relispartition ORDER BY 1) AS parents,
       (SELECT h.inhparent::regclass::text FROM pg_inherits h
         WHERE h.inhrelid = c.oid AND c.relispartition) AS partition_of,
       ARRAY(SELECT p.polname::text FROM pg_policy p WHERE p.polrelid = c.oid ORDER BY 1) AS policies,
       ARRAY(SELECT r.rulename::text FROM pg_rewrite r WHERE r.ev_class = c.oid AND r.rulename <> '_RETURN' ORDER BY 1)
         AS rules,
       ARRAY(SELECT format('%%s → %%s', g.tgname, g.tgfoid::regproc) FROM pg_trigger g
              WHERE g.tgrelid = c.oid AND NOT g.tgisinternal AND g.tgparentid = 0
                AND g.tgname NOT LIKE 'strangler\\_%%' ORDER BY 1)
         AS triggers,
       ARRAY(SELECT format('GRANT %%s ON %%s TO %%s', string_agg(acl.privilege_type, ', ' ORDER BY acl.privilege_type),
                           c.oid::regclass, CASE acl.grantee WHEN 0 THEN 'PUBLIC' ELSE acl.grantee::regrole::text END)
               FROM aclexplode(c.relacl) acl WHERE acl.grantee <> c.relowner GROUP BY acl.grantee
             UNION ALL
             SELECT format('GRANT %%s (%%I) ON %%s TO %%s', acl.privilege_type, a.attname, c.oid::regclass,
                           CASE acl.grantee WHEN 0 THEN 'PUBLIC' ELSE acl.grantee::regrole::text END)
               FROM pg_attribute a CROSS JOIN aclexplode(a.attacl) acl
              WHERE a.attrelid = c.oid AND NOT a.attisdropped AND acl.grantee <> c.relowner
              ORDER BY 1) AS grants
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE c.oid = ANY (%(oids)s)
"""

PARTITIONS: Final = """
SELECT t.relid::oid AS oid, root.oid AS root, t.level
  FROM unnest(%(oids)s::oid[]) AS root (oid) CROSS JOIN LATERAL pg_partition_tree(root.oid) t
 WHERE t.level > 0
 ORDER BY t.level, t.relid::regclass::text
"""

COLUMNS: Final = """
SELECT a.attrelid AS table_oid, a.attnum AS number, a.attname AS name, quote_ident(a.attname) AS sql,
       format_type(a.atttypid, a.atttypmod) AS type,
       NOT a.attnotnull OR EXISTS (SELECT FROM pg_constraint k WHERE k.conrelid = a.attrelid AND k.contype = 'n'
                                      AND k.conkey = ARRAY[a.attnum] AND NOT k.convalidated) AS nullable,
       a.attgenerated AS generated, a.attidentity AS identity, d.oid AS default_oid,
       pg_get_expr(d.adbin, d.adrelid) AS default,
       (SELECT format('%%I.%%I', cn.nspname, co.collname) FROM pg_collation co
          JOIN pg_namespace cn ON cn.oid = co.collnamespace
         WHERE co.oid = a.attcollation AND a.attcollation <> t.typcollation) AS collation,
       CASE WHEN a.attstorage <> t.typstorage
            THEN CASE a.attstorage WHEN 'p' THEN 'PLAIN' WHEN 'e' THEN 'EXTERNAL' WHEN 'm' THEN 'MAIN'
                                   ELSE 'EXTENDED' END
       END AS storage,
       CASE to_jsonb(a) ->> 'attcompression' WHEN 'p' THEN 'pglz' WHEN 'l' THEN 'lz4' END AS compression,
       nullif(to_jsonb(a) ->> 'attstattarget', '-1')::int AS statistics, coalesce(a.attoptions, '{}') AS options,
       col_description(a.attrelid, a.attnum) AS comment,
       (SELECT p.objid FROM pg_depend p WHERE p.classid = 'pg_class'::regclass AND p.refclassid = 'pg_class'::regclass
           AND p.refobjid = a.attrelid AND p.refobjsubid = a.attnum AND p.deptype = 'i' LIMIT 1) AS identity_sequence
  FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
  LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
 WHERE a.attrelid = ANY (%(oids)s) AND a.attnum > 0 AND NOT a.attisdropped
 ORDER BY a.attrelid, a.attnum
"""

CONSTRAINTS: Final = """
SELECT k.oid, k.conrelid AS table_oid, k.conname AS name, quote_ident(k.conname) AS sql, k.contype AS kind,
       pg_get_constraintdef(k.oid) AS definition, k.convalidated AS validated, k.conindid AS index_oid,
       obj_description(k.oid, 'pg_constraint') AS comment,
       ARRAY(SELECT a.attname::text FROM pg_attribute a
              WHERE a.attrelid = k.conrelid AND a.attnum = ANY (k.conkey)) AS columns
  FROM pg_constraint k
 WHERE k.conrelid = ANY (%(oids)s) AND k.contype IN ('p', 'u', 'c', 'x', 'n') AND k.conparentid = 0
   AND NOT (k.contype = 'n' AND k.convalidated)
   AND (k.conislocal OR NOT EXISTS (SELECT FROM pg_class c WHERE c.oid = k.conrelid AND c.relispartition))
 ORDER BY k.conrelid, k.contype <> 'p', k.conname
"""

INDEXES: Final = """
SELECT i.indexrelid AS oid, i.indrelid AS table_oid, c.relname AS name, quote_ident(c.relname) AS quoted,
       format('%%I.%%I', n.nspname, c.relname) AS sql,
       pg_get_indexdef(i.indexrelid) AS definition, i.indisvalid AS is_valid,
       obj_description(c.oid, 'pg_class') AS comment,
       ARRAY(SELECT format('COLUMN %%s SET STATISTICS %%s', a.attnum, to_jsonb(a) ->> 'attstattarget')
               FROM pg_attribute a WHERE a.attrelid = c.oid AND (to_jsonb(a) ->> 'attstattarget')::int >= 0
              ORDER BY a.attnum) AS alterations,
       ARRAY(SELECT a.attname::text FROM pg_attribute a
              WHERE a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey)) AS columns
  FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE i.indrelid = ANY (%(oids)s)
   AND NOT EXISTS (SELECT FROM pg_constraint k WHERE k.conindid = i.indexrelid AND k.contype IN ('p', 'u', 'x'))
   AND NOT EXISTS (SELECT FROM pg_inherits h WHERE h.inhrelid = i.indexrelid)
 ORDER BY i.indrelid, c.relname
"""

STATISTICS: Final = """
SELECT s.oid, s.stxrelid AS table_oid, format('%%I.%%I', n.nspname, s.stxname) AS sql,
       pg_get_statisticsobjdef(s.oid) AS definition, obj_description(s.oid, 'pg_statistic_ext') AS comment,
       nullif(to_jsonb(s) ->> 'stxstattarget', '-1')::int AS target
  FROM pg_statistic_ext s JOIN pg_namespace n ON n.oid = s.stxnamespace
 WHERE s.stxrelid = ANY (%(oids)s) ORDER BY 3
"""

FOREIGN_KEYS: Final = """
SELECT k.oid, k.conname AS name, quote_ident(k.conname) AS sql, k.conrelid AS table_oid, k.confrelid AS ref_oid,
       n.nspname AS schema, c.relname AS table, rn.nspname AS ref_schema, rc.relname AS ref_table,
       format('%%I.%%I', n.nspname, c.relname) AS table_sql,
       CASE k.confdeltype WHEN 'c' THEN 'CASCADE' WHEN 'n' THEN 'SET NULL' WHEN 'd' THEN 'SET DEFAULT'
                          WHEN 'r' THEN 'RESTRICT' ELSE 'NO ACTION' END AS on_delete,
       CASE k.confupdtype WHEN 'c' THEN 'CASCADE' WHEN 'n' THEN 'SET NULL' WHEN 'd' THEN 'SET DEFAULT'
                          WHEN 'r' THEN 'RESTRICT' ELSE 'NO ACTION' END AS on_update,
       wn.nspname AS whole_schema, w.relname AS whole,
       pg_get_constraintdef(k.oid) AS definition, obj_description(k.oid, 'pg_constraint') AS comment,
       ARRAY(SELECT a.attname::text FROM unnest(k.conkey) WITH ORDINALITY AS u (attnum, place)
               JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = u.attnum ORDER BY u.place) AS columns,
       ARRAY(SELECT a.attname::text FROM unnest(k.confkey) WITH ORDINALITY AS u (attnum, place)
               JOIN pg_attribute a ON a.attrelid = k.confrelid AND a.attnum = u.attnum ORDER BY u.place) AS ref_columns
  FROM pg_constraint k
  JOIN pg_class c ON c.oid = k.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace
  JOIN pg_class rc ON rc.oid = k.confrelid JOIN pg_namespace rn ON rn.oid = rc.relnamespace
  JOIN pg_class w ON w.oid = coalesce(pg_partition_root(k.conrelid), k.conrelid)
  JOIN pg_namespace wn ON wn.oid = w.relnamespace
 WHERE k.contype = 'f' AND k.conparentid = 0 AND (k.conrelid = ANY (%(oids)s) OR k.confrelid = ANY (%(oids)s))
 ORDER BY n.nspname, c.relname, k.conname
"""

SEQUENCES: Final = """
SELECT c.oid, format('%%I.%%I', n.nspname, c.relname) AS sql, quote_ident(n.nspname) AS schema_sql,
       format_type(s.seqtypid, NULL) AS type, s.seqstart, s.seqincrement, s.seqmin, s.seqmax, s.seqcache, s.seqcycle,
       obj_description(c.oid, 'pg_class') AS comment,
       o.refobjid AS owner_oid, o.refobjid::regclass || '.' || quote_ident(oa.attname) AS owned_by,
       ARRAY(SELECT DISTINCT d.adrelid::regclass::text FROM pg_depend p JOIN pg_attrdef d ON d.oid = p.objid
              WHERE p.classid = 'pg_attrdef'::regclass AND p.refclassid = 'pg_class'::regclass AND p.refobjid = c.oid
                AND d.adrelid <> ALL (%(moved)s) ORDER BY 1) AS stays_with
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_sequence s ON s.seqrelid = c.oid
  LEFT JOIN pg_depend o ON o.classid = 'pg_class'::regclass AND o.objid = c.oid AND o.deptype IN ('a', 'i')
        AND o.refclassid = 'pg_class'::regclass AND o.refobjsubid > 0
  LEFT JOIN pg_attribute oa ON oa.attrelid = o.refobjid AND oa.attnum = o.refobjsubid
 WHERE c.oid = ANY (%(oids)s) ORDER BY 2
"""

READING_FUNCTIONS: Final = """
SELECT p.proname AS name FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
 WHERE n.nspname NOT IN ('pg_catalog', 'information_schema') GROUP BY p.proname HAVING bool_and(p.provolatile <> 'v')
"""

WRITABLE_VIEWS: Final = """
SELECT c.relname AS name FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE c.relkind = 'v' AND n.nspname NOT IN ('pg_catalog', 'information_schema')
   AND pg_relation_is_updatable(c.oid, true) & 28 <> 0
"""

EDGES: Final = """
SELECT d.classid::bigint AS class, d.objid::bigint AS object, d.objsubid AS part,
       d.refclassid::bigint AS ref_class, d.refobjid::bigint AS ref_object
  FROM pg_depend d
 WHERE (d.classid, d.objid) IN (SELECT * FROM unnest(%(classes)s::oid[], %(objects)s::oid[]))
   AND d.deptype IN ('n', 'a', 'i') AND d.refobjid >= 16384
"""

CLASSES: Final = """
SELECT relname AS name, oid::bigint AS oid FROM pg_class
 WHERE relnamespace = 'pg_catalog'::regnamespace AND relkind = 'r'
"""

EXTENSIONS: Final = """
SELECT e.extname AS name, quote_ident(e.extname) AS sql, quote_ident(n.nspname) AS schema_sql,
       ARRAY(SELECT r.extname::text FROM pg_depend d JOIN pg_extension r ON r.oid = d.refobjid
              WHERE d.classid = 'pg_extension'::regclass AND d.objid = e.oid
                AND d.refclassid = 'pg_extension'::regclass ORDER BY 1) AS requires
  FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace
"""

OF_EXTENSIONS: Final = """
SELECT d.classid::bigint AS class, d.objid::bigint AS object, e.extname AS name
  FROM pg_depend d JOIN pg_extension e ON e.oid = d.refobjid
 WHERE d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e'
   AND (d.classid, d.objid) IN (SELECT * FROM unnest(%(classes)s::oid[], %(objects)s::oid[]))
"""

IDENTITIES: Final = """
SELECT o.class::bigint AS class, o.object::bigint AS object, i.type AS kind, i.schema, i.identity
  FROM unnest(%(classes)s::oid[], %(objects)s::oid[]) AS o (class, object)
  CROSS JOIN LATERAL pg_identify_object(o.class, o.object, 0) i
"""

TYPES: Final = """
SELECT t.oid::bigint AS oid, t.typtype AS kind, t.typrelid::bigint AS relation, rc.relkind AS relation_kind,
       CASE WHEN t.typelem <> 0 AND t.typcategory = 'A' THEN t.typelem::bigint END AS element,
       (SELECT r.rngtypid::bigint FROM pg_range r WHERE to_jsonb(r) ->> 'rngmultitypid' = t.oid::text) AS range,
       ARRAY(SELECT quote_literal(e.enumlabel) FROM pg_enum e WHERE e.enumtypid = t.oid ORDER BY e.enumsortorder)
         AS labels,
       format_type(t.typbasetype, t.typtypmod) AS base, t.typnotnull AS not_null,
       pg_get_expr(t.typdefaultbin, 0) AS default,
       (SELECT format('%%I.%%I', cn.nspname, co.collname) FROM pg_collation co
          JOIN pg_namespace cn ON cn.oid = co.collnamespace JOIN pg_type b ON b.oid = t.typbasetype
         WHERE co.oid = t.typcollation AND t.typcollation <> b.typcollation) AS collation,
       ARRAY(SELECT format('CONSTRAINT %%I %%s', k.conname, pg_get_constraintdef(k.oid)) FROM pg_constraint k
              WHERE k.contypid = t.oid AND k.contype = 'c' ORDER BY k.conname) AS checks,
       ARRAY(SELECT k.oid::bigint FROM pg_constraint k WHERE k.contypid = t.oid) AS check_oids,
       ARRAY(SELECT format('%%I %%s', a.attname, format_type(a.atttypid, a.atttypmod))
                    || CASE WHEN a.attcollation <> at.typcollation THEN
                         (SELECT format(' COLLATE %%I.%%I', cn.nspname, co.collname) FROM pg_collation co
                            JOIN pg_namespace cn ON cn.oid = co.collnamespace WHERE co.oid = a.attcollation) ELSE '' END
               FROM pg_attribute a JOIN pg_type at ON at.oid = a.atttypid
              WHERE a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum) AS attributes,
       (SELECT jsonb_build_object('subtype', format_type(r.rngsubtype, NULL),
                 'subtype_opclass', (SELECT format('%%I.%%I', n.nspname, oc.opcname) FROM pg_opclass oc
                    JOIN pg_namespace n ON n.oid = oc.opcnamespace WHERE oc.oid = r.rngsubopc AND NOT oc.opcdefault),
                 'collation', (SELECT format('%%I.%%I', n.nspname, co.collname) FROM pg_collation co
                    JOIN pg_namespace n ON n.oid = co.collnamespace JOIN pg_type st ON st.oid = r.rngsubtype
                    WHERE co.oid = r.rngcollation AND r.rngcollation <> st.typcollation),
                 'subtype_diff', nullif(r.rngsubdiff::regproc::text, '-'),
                 'canonical', nullif(r.rngcanonical::regproc::text, '-'))
          FROM pg_range r WHERE r.rngtypid = t.oid) AS range_parts,
       (SELECT format('%%I.%%I', mn.nspname, m.typname) FROM pg_range r
          JOIN pg_type m ON m.oid = (to_jsonb(r) ->> 'rngmultitypid')::oid
          JOIN pg_namespace mn ON mn.oid = m.typnamespace
         WHERE r.rngtypid = t.oid) AS multirange,
       ARRAY(SELECT format('COLUMN %%I.%%I.%%I IS %%L', tn.nspname, t.typname, a.attname,
                           col_description(a.attrelid, a.attnum))
               FROM pg_attribute a JOIN pg_namespace tn ON tn.oid = t.typnamespace
              WHERE a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped
                AND col_description(a.attrelid, a.attnum) IS NOT NULL ORDER BY a.attnum)
         || ARRAY(SELECT format('CONSTRAINT %%I ON DOMAIN %%I.%%I IS %%L', k.conname, tn.nspname, t.typname,
                                obj_description(k.oid, 'pg_constraint'))
                    FROM pg_constraint k JOIN pg_namespace tn ON tn.oid = t.typnamespace
                   WHERE k.contypid = t.oid AND obj_description(k.oid, 'pg_constraint') IS NOT NULL ORDER BY k.conname)
         AS comments,
       obj_description(t.oid, 'pg_type') AS comment
  FROM pg_type t LEFT JOIN pg_class rc ON rc.oid = t.typrelid
 WHERE t.oid = ANY (%(oids)s::oid[])
"""

FUNCTIONS: Final = """
SELECT p.oid::bigint AS oid, p.prokind AS kind, l.lanname AS language, p.prosrc AS body,
       obj_description(p.oid, 'pg_proc') AS comment,
       CASE WHEN p.prokind IN ('f', 'p', 'w') AND l.lanname IN ('sql', 'plpgsql') THEN pg_get_functiondef(p.oid) END
         AS definition
  FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang WHERE p.oid = ANY (%(oids)s::oid[])
"""

COLLATIONS: Final = """
SELECT c.oid::bigint AS oid, to_jsonb(c) AS facts FROM pg_collation c WHERE c.oid = ANY (%(oids)s::oid[])
"""

RELATION_NAMES: Final = """
SELECT DISTINCT c.relname AS name FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S') AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')
"""

FUNCTION_NAMES: Final = """
SELECT p.oid::bigint AS oid, p.proname AS name FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
 WHERE n.nspname NOT IN ('pg_catalog', 'information_schema')
"""

DRAWN_SEQUENCES: Final = """
SELECT DISTINCT p.refobjid AS oid FROM pg_depend p JOIN pg_attrdef d ON d.oid = p.objid
  JOIN pg_class s ON s.oid = p.refobjid AND s.relkind = 'S'
 WHERE p.classid = 'pg_attrdef'::regclass AND p.refclassid = 'pg_class'::regclass AND d.adrelid = ANY (%(oids)s)
"""
