"""What the definitions of tables need besides: types, functions, collations, extensions, found along `pg_depend`."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

import psycopg

from migration_plans.authoring import catalog_queries as queries
from migration_plans.authoring.definitions import Made, called_functions, made_collation, made_function, made_type
from migration_plans.authoring.legacy_schema import Brought, Extension, Needs

Row = dict[str, Any]
Node = tuple[int, int]
"""(catalog, object), both by oid."""
Start = tuple[str, int, int | None]
"""(catalog, oid, part): something of a table; `part` is a column's number, None for the whole."""

_FOLLOWED = frozenset(
    {"pg_type", "pg_proc", "pg_collation", "pg_operator", "pg_opclass", "pg_opfamily", "pg_ts_config", "pg_ts_dict"}
)


class CatalogObjects:
    """Ask with a connection whose search path is empty, inside one transaction; `read` first, then look."""

    def __init__(self, connection: psycopg.Connection[Row]) -> None:
        self._connection = connection
        self._class: Mapping[str, int] = {row["name"]: row["oid"] for row in self._rows(queries.CLASSES)}
        self._followed = frozenset(self._class[name] for name in _FOLLOWED)
        self._installed: Mapping[str, Row] = {row["name"]: row for row in self._rows(queries.EXTENSIONS)}
        self._function_names: Mapping[str, list[int]] = defaultdict(list)
        for row in self._rows(queries.FUNCTION_NAMES):
            self._function_names[row["name"]].append(row["oid"])
        self._edges: dict[Node, list[tuple[int, Node]]] = {}
        self._types: dict[int, Row] = {}
        self._functions: dict[int, Row] = {}
        self._members: dict[Node, str] = {}
        self._keys: dict[Node, str] = {}
        self.objects: dict[str, Brought] = {}
        self.extensions: dict[str, Extension] = {}
        self.schemas: set[str] = set()
        """As SQL: where what has to be made lies, and the extensions that it needs."""

    def read(self, starts: Iterable[Start]) -> None:
        """Follow everything that these need, to the end."""
        frontier = {(self._class[catalog], oid) for catalog, oid, _ in starts}
        seen: set[Node] = set()
        while frontier:
            seen |= frontier
            reached = self._expand(frontier)
            frontier = reached - seen
        self._describe(seen)

    def needs(self, start: Start) -> Needs:
        """Keys of what this needs directly."""
        catalog, oid, part = start
        edges = self._edges.get((self._class[catalog], oid), ())
        return frozenset(self._keys[to] for of, to in edges if part in (None, of) and to in self._keys)

    def _expand(self, frontier: set[Node]) -> set[Node]:
        """Read the edges of these nodes; gives all that they lead to."""
        self._note_extensions(frontier)
        own = {node for node in frontier if node not in self._members}
        inside = {inner: node for node in own for inner in self._parts_of(node)}
        edges: dict[Node, list[tuple[int, int, int]]] = defaultdict(list)
        for row in self._rows(queries.EDGES, **_split([*own, *inside])):
            node = (row["class"], row["object"])
            edges[inside.get(node, node)].append((row["part"], row["ref_class"], row["ref_object"]))
        wanted = {ref for found in edges.values() for _, catalog, ref in found if catalog == self._class["pg_type"]}
        self._load_types(wanted)
        functions = {ref for found in edges.values() for _, catalog, ref in found if catalog == self._class["pg_proc"]}
        self._load_functions(functions)
        for node in own:
            led = [(part, self._real((catalog, ref))) for part, catalog, ref in edges[node]]
            led += [(0, called) for called in self._called(node)]
            self._edges[node] = [(part, to) for part, to in led if to[0] in self._followed and to != node]
        return {to for node in own for _, to in self._edges[node]}

    def _parts_of(self, node: Node) -> list[Node]:
        """Other places in which the catalog keeps what this needs."""
        if node[0] != self._class["pg_type"]:
            return []
        row = self._types[node[1]]
        if row["kind"] == "c":
            return [(self._class["pg_class"], row["relation"])]
        return [(self._class["pg_constraint"], oid) for oid in row["check_oids"]]

    def _real(self, node: Node) -> Node:
        """An array is as good as its element, a multirange as its range."""
        if node[0] != self._class["pg_type"]:
            return node
        row = self._types[node[1]]
        inner = row["element"] or row["range"]
        return node if inner is None else self._real((node[0], inner))

    def _load_types(self, oids: set[int]) -> None:
        while new := oids - self._types.keys():
            rows = self._rows(queries.TYPES, oids=list(new))
            self._types |= {row["oid"]: row for row in rows}
            oids = {inner for row in rows for inner in (row["element"], row["range"]) if inner is not None}

    def _load_functions(self, oids: set[int]) -> None:
        if new := oids - self._functions.keys():
            self._functions |= {row["oid"]: row for row in self._rows(queries.FUNCTIONS, oids=list(new))}

    def _called(self, node: Node) -> list[Node]:
        """The body of a function is a text to the catalog, unless it is written in the standard's form."""
        row = self._functions.get(node[1]) if node[0] == self._class["pg_proc"] else None
        if row is None or not row["body"]:
            return []
        names = self._function_names
        called = [oid for name in called_functions(row["body"], names) for oid in names[name] if oid != node[1]]
        self._load_functions(set(called))
        return [(node[0], oid) for oid in called]

    def _note_extensions(self, nodes: set[Node]) -> None:
        for row in self._rows(queries.OF_EXTENSIONS, **_split(nodes)):
            self._members[row["class"], row["object"]] = row["name"]
            self._add_extension(row["name"])

    def _add_extension(self, name: str) -> None:
        if name not in self.extensions:
            row = self._installed[name]
            self.extensions[name] = Extension(
                name=name, sql=row["sql"], schema=row["schema_sql"], requires=tuple(row["requires"])
            )
            self.schemas.add(row["schema_sql"])
            for required in row["requires"]:
                self._add_extension(required)

    def _describe(self, nodes: set[Node]) -> None:
        nodes = {node for node in nodes if node[0] in self._followed}
        identities = {(row["class"], row["object"]): row for row in self._rows(queries.IDENTITIES, **_split(nodes))}
        self._keys = {node: f"{row['kind']} {row['identity']}" for node, row in identities.items()}
        relations = frozenset(row["name"] for row in self._rows(queries.RELATION_NAMES))
        for node, row in identities.items():
            sql = row["identity"]
            member = self._members.get(node)
            create, drop, why_not = ((), "", "") if member else self._made(node, sql, relations)
            if create:
                self.schemas.add(row["schema"])
            self.objects[self._keys[node]] = Brought(
                key=self._keys[node],
                kind=row["kind"],
                sql=sql,
                create=create,
                drop=drop,
                why_not=why_not,
                extension=member,
                needs=frozenset(self._keys[to] for _, to in self._edges.get(node, ()) if to in self._keys),
            )

    def _made(self, node: Node, sql: str, relations: frozenset[str]) -> Made:
        if node[0] == self._class["pg_type"]:
            return made_type(sql, self._types[node[1]])
        if node[0] == self._class["pg_proc"]:
            return made_function(sql, self._functions[node[1]], relations)
        if node[0] == self._class["pg_collation"]:
            (row,) = self._rows(queries.COLLATIONS, oids=[node[1]])
            return made_collation(sql, row["facts"])
        return (), "", "is of a kind that has to be made by hand"

    def _rows(self, query: str, **parameters: Any) -> list[Row]:
        return self._connection.execute(query.encode(), parameters).fetchall()


def _split(nodes: Iterable[Node]) -> dict[str, list[int]]:
    pairs = list(nodes)
    return {"classes": [catalog for catalog, _ in pairs], "objects": [oid for _, oid in pairs]}
