"""What the stream does not say about types and tables: names, elements, enum labels, primary keys. Pure values.

`cdc.debezium.catalog_reader` fills one from a database. Types that come with PostgreSQL are known without it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final, Literal, NamedTuple

from cdc.events import TableName

TypeKind = Literal["base", "array", "enum", "domain", "composite", "range", "multirange"]


@dataclass(frozen=True, kw_only=True, slots=True)
class PgType:
    """One type. `of`: oid of an array's element or of a domain's base type; `modifier`: a domain's own."""

    oid: int
    name: str
    kind: TypeKind = "base"
    of: int = 0
    modifier: int = -1
    labels: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class TableShape:
    """What records need of a table. `primary_key` in key order; `columns`: name → (type oid, modifier); `defaults`:
    name → expression, as `pg_get_expr` writes it."""

    primary_key: tuple[str, ...] = ()
    not_null: frozenset[str] = frozenset()
    columns: Mapping[str, tuple[int, int]] = field(default_factory=lambda: MappingProxyType({}))
    defaults: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))


class ResolvedType(NamedTuple):
    """A type behind its domains, and the modifier that holds for the value."""

    type: PgType
    modifier: int


@dataclass(frozen=True, kw_only=True, slots=True)
class TypeCatalog:
    """Types by oid beyond PostgreSQL's own, and tables by name. Empty is fine for tables of built-in types."""

    types: Mapping[int, PgType] = field(default_factory=lambda: MappingProxyType({}))
    tables: Mapping[TableName, TableShape] = field(default_factory=lambda: MappingProxyType({}))

    def type(self, oid: int) -> PgType:
        """A type nobody knows is called `unknown`."""
        return self.types.get(oid) or BUILT_IN.get(oid) or PgType(oid=oid, name="unknown")

    def resolve(self, oid: int, modifier: int = -1) -> ResolvedType:
        """Through domains over domains; the innermost modifier that is set holds."""
        found = self.type(oid)
        while found.kind == "domain":
            modifier = found.modifier if found.modifier != -1 else modifier
            found = self.type(found.of)
        return ResolvedType(found, modifier)

    def shape(self, table: TableName) -> TableShape:
        """Nothing known: no key, everything nullable."""
        return self.tables.get(table) or TableShape()


_BASES: Final[Mapping[str, tuple[int, int]]] = {
    "bool": (16, 1000), "bytea": (17, 1001), "char": (18, 1002), "name": (19, 1003), "int8": (20, 1016),
    "int2": (21, 1005), "int4": (23, 1007), "text": (25, 1009), "oid": (26, 1028), "json": (114, 199),
    "xml": (142, 143), "point": (600, 1017), "cidr": (650, 651), "float4": (700, 1021), "float8": (701, 1022),
    "macaddr8": (774, 775), "money": (790, 791), "macaddr": (829, 1040), "inet": (869, 1041), "bpchar": (1042, 1014),
    "varchar": (1043, 1015), "date": (1082, 1182), "time": (1083, 1183), "timestamp": (1114, 1115),
    "timestamptz": (1184, 1185), "interval": (1186, 1187), "timetz": (1266, 1270), "bit": (1560, 1561),
    "varbit": (1562, 1563), "numeric": (1700, 1231), "uuid": (2950, 2951), "tsvector": (3614, 3643),
    "jsonb": (3802, 3807), "lseg": (601, 1018), "path": (602, 1019), "box": (603, 1020), "polygon": (604, 1027),
    "line": (628, 629), "circle": (718, 719), "tsquery": (3615, 3645), "pg_lsn": (3220, 3221),
    "jsonpath": (4072, 4073), "xid": (28, 1011), "cid": (29, 1012), "tid": (27, 1010), "xid8": (5069, 271),
    "txid_snapshot": (2970, 2949), "pg_snapshot": (5038, 5039), "refcursor": (1790, 2201),
}  # fmt: skip
_RANGES: Final[Mapping[str, tuple[int, int]]] = {
    "int4range": (3904, 3905), "numrange": (3906, 3907), "tsrange": (3908, 3909), "tstzrange": (3910, 3911),
    "daterange": (3912, 3913), "int8range": (3926, 3927),
}  # fmt: skip


def _built_in() -> dict[int, PgType]:
    types = [PgType(oid=oid, name=name) for name, (oid, _) in _BASES.items()]
    types += [PgType(oid=oid, name=name, kind="range") for name, (oid, _) in _RANGES.items()]
    types += [
        PgType(oid=array, name=f"_{name}", kind="array", of=oid)
        for name, (oid, array) in {**_BASES, **_RANGES}.items()
        if name != "box"  # the one type whose array's delimiter is not the comma
    ]
    return {each.oid: each for each in types}


BUILT_IN: Final[Mapping[int, PgType]] = MappingProxyType(_built_in())
"""By oid: the types whose oids are the same on every server."""
OID_OF: Final[Mapping[str, int]] = MappingProxyType({each.name: oid for oid, each in BUILT_IN.items()})
