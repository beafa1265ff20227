"""Values of every built-in PostgreSQL type that a column may have, at its edges. As SQL literals, per type."""

BUILT_IN = {
    "bool": ["true", "false"],
    "bytea": ["''", r"'\x00ff5c27'", "decode(repeat('00ff', 5000), 'hex')"],
    '"char"': ["'a'", "''", r"'\377'"],
    "name": ["'" + "n" * 63 + "'", "'ä'"],
    "int8": ["9223372036854775807", "-9223372036854775808", "9007199254740993"],
    "int2": ["32767", "-32768"],
    "int4": ["2147483647", "-2147483648"],
    "int2vector": ["'1 2 3'", "''"],
    "oidvector": ["'1 2 4294967295'"],
    "text": [
        "''",
        "'null'",
        "'NULL'",
        "E'\\'\\\\\\n\\t\\r\\b'",
        "U&'\\+01F600\\+10FFFF'",
        "'__debezium_unavailable_value'",
    ],
    "oid": ["4294967295", "0"],
    "regtype": ["'text'"],
    "tid": ["'(4294967295,65535)'"],
    "xid": ["'4294967295'"],
    "xid8": ["'18446744073709551615'"],
    "cid": ["'4294967295'"],
    "json": ["""'{"a" : 1,  "a":2}'""", "'null'", "'1e400'"],
    "jsonb": ["'123456789012345678901234567890.123456789'", """'{"b":1,"a":[]}'""", "'null'"],
    "jsonpath": ["'$.a[*] ? (@ > 1)'"],
    "xml": ["'<a b=\"c\">&lt;</a>'", "'text'"],
    "point": ["'(1e-300,-Infinity)'"],
    "lseg": ["'[(0,0),(1,0.1)]'"],
    "path": ["'[(0,0),(1,1)]'", "'((0,0),(1,1))'"],
    "box": ["'(1,1),(0,0)'"],
    "polygon": ["'((0,0),(1,1),(2,0))'"],
    "line": ["'{1,-1,0}'"],
    "circle": ["'<(0,0),3>'"],
    "float4": ["0.1", "'1e-45'", "'NaN'", "'-0'", "'Infinity'"],
    "float8": ["'NaN'", "'-0'", "'5e-324'", "0.1", "'1.7976931348623157e308'", "'-Infinity'"],
    "money": ["'1234.56'", "'-92233720368547758.08'"],
    "macaddr": ["'08:00:2b:01:02:03'"],
    "macaddr8": ["'08:00:2b:01:02:03:04:05'"],
    "inet": ["'10.0.0.1/8'", "'::1'", "'10.0.0.1'"],
    "cidr": ["'10.0.0.0/8'", "'::/0'"],
    "bpchar": ["'ab  '"],
    "char(5)": ["'ab'"],
    "varchar(5)": ["'ab   '", "''"],
    "date": ["'infinity'", "'-infinity'", "'0044-03-15 BC'", "'5874897-12-31'", "'4713-11-24 BC'"],
    "time": ["'24:00:00'", "'00:00:00.000001'"],
    "time(0)": ["'23:59:59'"],
    "timestamp": ["'infinity'", "'4713-11-24 00:00:00 BC'", "'294276-12-31 23:59:59.999999'"],
    "timestamptz": [
        "'2024-10-27 02:30 Europe/Berlin'",
        "'2024-01-01 00:00+05:30'",
        "'-infinity'",
        "'1883-11-18 12:03:58 UTC'",
    ],
    "interval": ["'1 mon -1 day'", "'-1 year +3 days -04:05:06.7'", "'0'", "'178000000 years'", "'-00:00:00.000001'"],
    "timetz": ["'24:00:00+15:59'", "'01:02:03-08'", "'01:02:03.000001+00:00:01'"],
    "bit(4)": ["B'0101'"],
    "varbit": ["B''", "B'01010'"],
    "numeric": ["'NaN'", "0.00", "-12.30", "'1e1000'", "'1e-16383'", "'" + "9" * 5000 + ".5'"],
    "refcursor": ["'a cursor'"],
    "uuid": ["'6f1b0b7e-0000-4000-8000-000000000000'"],
    "pg_lsn": ["'FFFFFFFF/FFFFFFFF'", "'0/0'"],
    "tsvector": ["'a:1A ''b c'':2'", "''"],
    "tsquery": ["'a & !(b | c:*)'"],
    "txid_snapshot": ["'10:20:10,14,15'"],
    "pg_snapshot": ["'10:20:10,14,15'"],
    "int4range": ["'[1,5)'", "'empty'", "'(,)'"],
    "numrange": ["'[1.50,1e400]'"],
    "tsrange": ["'[2024-01-01, infinity)'"],
    "tstzrange": ["'[2024-01-01 00:00+05:30,)'"],
    "daterange": ["'[0044-03-15 BC,2024-01-01]'"],
    "int8range": ["'[,9223372036854775807)'"],
    "int4multirange": ["'{[1,3),[5,7)}'", "'{}'"],
    "nummultirange": ["'{[1.5,2.5]}'"],
    "tsmultirange": ["'{[2024-01-01,2024-01-02)}'"],
    "tstzmultirange": ["'{[2024-01-01 00:00+05:30,)}'"],
    "datemultirange": ["'{[2024-01-01,2024-01-03)}'"],
    "int8multirange": ["'{(,)}'"],
    "text[]": ["'{}'", '\'{NULL,"NULL",""}\'', "'[2:3]={a,b}'", "'{{a,b},{c,d}}'", r"""'{"a\"\\,{}"}'"""],
    "int4[]": ["'[-1:0][2:3]={{1,2},{3,NULL}}'"],
    "numeric[]": ["'{NaN,1e1000}'"],
    "bytea[]": [r"""'{"\\x00ff"}'"""],
    "timestamptz[]": ["'{infinity,2024-01-01 00:00+05:30}'"],
    "jsonb[]": [r"""'{"{\"a\": 1e400}"}'"""],
}

SINCE_14 = {
    "numeric": ["'Infinity'", "'-Infinity'"],
}
"""Literals that PostgreSQL 13 refuses."""

SINCE_15 = {
    "numeric(10,-2)": ["12345"],
}

SINCE_17 = {
    "interval": ["'infinity'", "'-infinity'"],
}

OWN_TYPES = """
    CREATE TYPE mood AS ENUM ('ok', 'it''s "fine", {really}');
    CREATE TYPE pair AS (a int, b text);
    CREATE TYPE nested AS (p pair, moods mood[]);
    CREATE DOMAIN tiny AS varchar(9);
    CREATE DOMAIN short AS tiny;
    CREATE DOMAIN numbers AS numeric[];
    CREATE TYPE floats AS RANGE (subtype = float8);
"""
OWN = {
    "mood": ["'ok'", """'it''s "fine", {really}'"""],
    "mood[]": ["""ARRAY['it''s "fine", {really}', NULL]::mood[]"""],
    "pair": [r"""ROW(1, 'a,"b\')""", "ROW(NULL, NULL)", "ROW(NULL, '')"],
    "pair[]": ["ARRAY[ROW(1, ' ')]::pair[]"],
    "nested": ["ROW(ROW(1, '(x)'), '{ok}')"],
    "short": ["'ab'"],
    "short[]": ["'{ab,NULL}'"],
    "numbers": ["'{NaN,-1.0}'"],
    "floats": ["'[NaN,NaN]'", "'(-0,5e-324)'"],
}
EXTENSIONS = {
    "hstore": ("hstore", ["'a=>1, \"b c\"=>NULL'", "''"]),
    "citext": ("citext", ["'MiXed'"]),
    "ltree": ("ltree", ["'Top.Science'"]),
    "cube": ("cube", ["'(1,2),(3,4)'"]),
}
NOT_FOR_COLUMNS = frozenset({
    *("pg_node_tree", "pg_ndistinct", "pg_dependencies", "pg_mcv_list", "pg_brin_bloom_summary"),
    *("pg_brin_minmax_multi_summary", "gtsvector", "pg_ddl_command", "aclitem"),
})  # fmt: skip
"""Internal: the server has no input for them, or no user table holds them."""
SAME_AS_REGTYPE = frozenset({
    *("regproc", "regprocedure", "regoper", "regoperator", "regclass", "regconfig", "regdictionary", "regrole"),
    *("regnamespace", "regcollation", "regdatabase"),
})  # fmt: skip


def types_of(version):
    """Type → literals for a server of this major version."""
    found = {name: list(literals) for name, literals in {**BUILT_IN, **OWN}.items()}
    for since, added in ((14, SINCE_14), (15, SINCE_15), (17, SINCE_17)):
        if version >= since:
            for name, literals in added.items():
                found[name] = [*found.get(name, []), *literals]
    if version < 14:
        found = {name: literals for name, literals in found.items() if "multirange" not in name}
    return found
