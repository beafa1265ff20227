"""From a parsed query to what it reads: FROM items, common table expressions, subqueries, expressions. Pure."""

import abc
from collections.abc import Iterable, Mapping

from sqlglot import exp

from migration_plans.gather.sql_found import Found
from migration_plans.gather.sql_names import Names, Scope, Source
from migration_plans.gather.statement import Access, ColumnName, Join, Predicate, RowLock

Outputs = Mapping[str, ColumnName | None]
Environment = Mapping[str, Source]
"""Common table expressions by name."""

_COMPARISONS: Mapping[type[exp.Expr], str] = {
    exp.EQ: "=",
    exp.NEQ: "<>",
    exp.GT: ">",
    exp.GTE: ">=",
    exp.LT: "<",
    exp.LTE: "<=",
    exp.Like: "LIKE",
    exp.ILike: "ILIKE",
    exp.In: "IN",
    exp.Is: "IS",
    exp.Between: "BETWEEN",
    exp.NullSafeEQ: "=",
}
_RELATIONS = (exp.From, exp.Join, exp.Lateral)


class QueryWalk(abc.ABC):
    """Walks queries and expressions; what it finds is in `found`. Commands that may stand in WITH are a subclass's."""

    def __init__(self, names: Names) -> None:
        self.found = Found()
        self._names = names

    @abc.abstractmethod
    def statement(self, node: exp.Expr, environment: Environment | None = None) -> Outputs:
        """Read any statement or query; returns its outputs by name."""

    # Queries

    def _query(self, node: exp.Expr, environment: Environment, outer: Scope | None) -> Outputs:
        while isinstance(node, exp.Subquery | exp.Paren):
            environment = self._common_tables(node, environment, outer)
            node = node.this
        environment = self._common_tables(node, environment, outer)
        if isinstance(node, exp.SetOperation):
            outputs = self._query(node.left, environment, outer)
            self._query(node.right, environment, outer)
            return outputs
        scope = Scope(outer=outer)
        if isinstance(node, exp.Select):
            return self._select(node, environment, scope)
        if isinstance(node, exp.Table):
            self._relation(node, environment, scope)
            return next(iter(scope.sources.values())).outputs or {} if scope.sources else {}
        self._expressions([node], environment, scope)
        return {}

    def _select(self, node: exp.Select, environment: Environment, scope: Scope) -> Outputs:
        start = node.args.get("from_")
        relations = [*([start.this] if start else []), *node.args.get("laterals", ())]
        for relation in relations:
            self._relation(relation, environment, scope)
        self._joined(node.args.get("joins") or (), environment, scope)
        rest = [
            value
            for name, value in node.args.items()
            if name not in {"from_", "joins", "laterals", "with_", "expressions", "locks", "into"}
        ]
        self._expressions([*nodes_in(node.args.get("where")), *node.expressions, *nodes_in(rest)], environment, scope)
        for lock in node.args.get("locks") or ():
            self._lock(lock, scope)
        return self._outputs(node.expressions, scope)

    def _relation(self, node: exp.Expr, environment: Environment, scope: Scope) -> None:
        """Add a FROM item, with what is joined inside it."""
        alias = self._alias(node)
        if isinstance(node, exp.Table) and isinstance(node.this, exp.Identifier):
            self._table(node, alias, environment, scope)
        elif isinstance(node, exp.Subquery | exp.Paren):
            if not alias and _is_join_group(node.this):
                self._relation(node.this, environment, scope)
            else:
                # A subquery in FROM sees nothing of its neighbours, only what is around the whole query.
                outputs = self._query(node, environment, scope.outer)
                scope.add(alias, Source(outputs=self._renamed(node, outputs)))
        elif isinstance(node, exp.Lateral):
            if isinstance(node.this, exp.Subquery):
                outputs = self._query(node.this, environment, scope)
                scope.add(alias, Source(outputs=self._renamed(node, outputs)))
            else:
                self._expressions([node.this], environment, scope)
                scope.add(alias, Source(outputs=self._renamed(node, {})))
        else:
            self._expressions(_children(node, ("joins", "alias")), environment, scope)
            scope.add(alias, Source(outputs=self._renamed(node, {})))
        self._joined(node.args.get("joins") or (), environment, scope)
        for lateral in node.args.get("laterals") or ():
            self._relation(lateral, environment, scope)

    def _table(self, node: exp.Table, alias: str, environment: Environment, scope: Scope) -> None:
        name = self._identifier(node.this)
        schema = self._identifier(node.args.get("db"))
        if not schema and name in environment:
            source = environment[name]
            scope.add(alias or name, Source(outputs=self._renamed(node, source.outputs or {})))
            return
        scope.add(alias or name, self._read_table(schema, name))

    def _read_table(self, schema: str, name: str) -> Source:
        table = self._names.table(schema, name)
        if table is None:
            return Source(outputs={})
        view = self._names.catalog.views.get(table)
        if view is not None:
            self.found.views[table] = None
            for behind in view.tables:
                self.found.accesses[Access(behind, "R")] = None
            return Source(outputs=view.columns)
        if not self._names.is_known(table):
            self.found.unknown_tables[table] = None
            return Source(outputs={})
        self.found.accesses[Access(table, "R")] = None
        return self._names.source(table)

    def _joined(self, joins: Iterable[exp.Join], environment: Environment, scope: Scope) -> None:
        for join in joins:
            before = dict(scope.sources)
            self._relation(join.this, environment, scope)
            for using in join.args.get("using") or ():
                column = self._identifier(using if isinstance(using, exp.Identifier) else using.this)
                left = Scope(sources=before).resolve("", column)
                new = {name: source for name, source in scope.sources.items() if name not in before}
                self._equated(left, Scope(sources=new).resolve("", column))
            self._expressions(nodes_in(join.args.get("on")), environment, scope)

    def _common_tables(self, node: exp.Expr, environment: Environment, outer: Scope | None) -> Environment:
        clause = node.args.get("with_")
        if clause is None:
            return environment
        known = dict(environment)
        for common in clause.expressions:
            name = self._alias(common)
            if clause.args.get("recursive"):
                known[name] = Source(outputs=self._renamed(common, self._first_outputs(common.this)))
            body = common.this
            outputs = self._query(body, known, outer) if isinstance(body, exp.Query) else self.statement(body, known)
            known[name] = Source(outputs=self._renamed(common, outputs))
        return known

    def _first_outputs(self, body: exp.Expr) -> Outputs:
        """Names that a recursive query gives itself, so that its own references resolve to something."""
        while isinstance(body, exp.SetOperation | exp.Subquery):
            body = body.this
        return {} if not isinstance(body, exp.Select) else {one.alias_or_name: None for one in body.expressions}

    def _outputs(self, expressions: Iterable[exp.Expr], scope: Scope) -> Outputs:
        outputs: dict[str, ColumnName | None] = {}
        for expression in expressions:
            star = expression.this if isinstance(expression, exp.Column) else expression
            if isinstance(star, exp.Star):
                qualifier = self._qualifier(expression) if isinstance(expression, exp.Column) else ""
                for alias, source in scope.sources.items():
                    if qualifier in {"", alias}:
                        outputs |= source.outputs or {}
                        for column in (source.outputs or {}).values():
                            self._read_column(column)
                continue
            inner = expression.this if isinstance(expression, exp.Alias) else expression
            name = self._names.identifier(expression.alias_or_name, quoted=False)
            outputs[name] = self._column(inner, scope) if isinstance(inner, exp.Column) else None
        return outputs

    def _renamed(self, node: exp.Expr, outputs: Outputs) -> Outputs:
        """Outputs under the column names that an alias gives them."""
        alias = node.args.get("alias")
        columns = alias.args.get("columns") if isinstance(alias, exp.TableAlias) else None
        if not columns:
            return outputs
        names = [self._identifier(one.this if isinstance(one, exp.ColumnDef) else one) for one in columns]
        values = [*outputs.values(), *([None] * len(names))]
        return dict(zip(names, values, strict=False)) | dict(list(outputs.items())[len(names) :])

    def _lock(self, lock: exp.Lock, scope: Scope) -> None:
        strength = ("NO KEY UPDATE" if lock.args.get("key") else "UPDATE") if lock.args.get("update") else (
            "KEY SHARE" if lock.args.get("key") else "SHARE"
        )  # fmt: skip
        named = [self._identifier(table.this) for table in lock.expressions]
        for alias, source in scope.sources.items():
            if source.table is not None and (not named or alias in named):
                self.found.locks[RowLock(source.table, strength)] = None

    # Expressions

    def _expressions(self, nodes: Iterable[exp.Expr], environment: Environment, scope: Scope) -> None:
        """Columns, comparisons, functions and subqueries below the nodes, without recursion but for subqueries."""
        pending = list(nodes)[::-1]
        while pending:
            node = pending.pop()
            if isinstance(node, exp.Query) or (isinstance(node, exp.Paren) and isinstance(node.this, exp.Query)):
                self._query(node, environment, scope)
                continue
            if isinstance(node, exp.Column):
                self._note_column(node, scope)
                continue
            if isinstance(node, exp.Anonymous) and isinstance(node.this, str):
                self._call(self._names.identifier(node.this, quoted=False))
            if isinstance(node, tuple(_COMPARISONS)):
                self._comparison(node, scope)
                query = node.args.get("query")
                if isinstance(node, exp.In) and query is not None:
                    self._expressions([node.this], environment, scope)
                    outputs = self._query(query, environment, scope)
                    left = self._column(node.this, scope) if isinstance(node.this, exp.Column) else None
                    self._equated(left, next(iter(outputs.values()), None))
                    continue
            pending.extend(_children(node)[::-1])

    def _call(self, name: str) -> None:
        self.found.call(name)
        routine = self._names.catalog.routines.get(name)
        for access in routine.accesses if routine is not None else ():
            self.found.accesses.setdefault(access)

    def _note_column(self, node: exp.Column, scope: Scope) -> None:
        if isinstance(node.this, exp.Star):
            source = scope.sources.get(self._qualifier(node))
            found = [one for one in (source.outputs or {}).values() if one] if source is not None else []
        else:
            column = self._column(node, scope)
            found = [] if column is None else [column]
        for column in found:
            self._read_column(column)

    def _read_column(self, column: ColumnName | None) -> None:
        if column is not None:
            self.found.read[column] = None

    def _comparison(self, node: exp.Expr, scope: Scope) -> None:
        sides = [_bare(node.this), _bare(node.args.get("expression"))]
        columns = [self._column(side, scope) if isinstance(side, exp.Column) else None for side in sides]
        if all(isinstance(side, exp.Column) for side in sides):
            if isinstance(node, exp.EQ | exp.NullSafeEQ):
                self._equated(*columns)
            return
        for column in columns:
            if column is not None:
                self.found.predicates[Predicate(column, _COMPARISONS[type(node)])] = None

    def _equated(self, left: ColumnName | None, right: ColumnName | None) -> None:
        if left is not None and right is not None and left != right:
            self.found.joins[Join(*sorted((left, right)))] = None

    # Names

    def _column(self, node: exp.Expr, scope: Scope) -> ColumnName | None:
        return scope.resolve(self._qualifier(node), self._identifier(node.this))

    def _qualifier(self, node: exp.Expr) -> str:
        return self._identifier(node.args.get("table"))

    def _alias(self, node: exp.Expr) -> str:
        alias = node.args.get("alias")
        return self._identifier(alias.this if isinstance(alias, exp.TableAlias) else alias)

    def _identifier(self, node: object) -> str:
        if isinstance(node, exp.Identifier):
            return self._names.identifier(node.name, quoted=bool(node.args.get("quoted")))
        return node.name if isinstance(node, exp.Expr) else ""


def _is_join_group(node: object) -> bool:
    """`(a JOIN b ON …)`: parentheses around tables, and no query."""
    while isinstance(node, exp.Subquery | exp.Paren):
        node = node.this
    return isinstance(node, exp.Table)


def _bare(node: object) -> object:
    """Without casts and parentheses."""
    while isinstance(node, exp.Cast | exp.Paren):
        node = node.this
    return node


def nodes_in(value: object) -> list[exp.Expr]:
    """The nodes of an argument: one, a list, or none."""
    if isinstance(value, exp.Expr):
        return [value]
    return [one for item in value for one in nodes_in(item)] if isinstance(value, list) else []


def _children(node: exp.Expr, left_out: tuple[str, ...] = ()) -> list[exp.Expr]:
    return [child for name, value in node.args.items() if name not in left_out for child in nodes_in(value)]
