"""From a parsed statement to what it does: the commands that write, and the queries inside them. Pure."""

from collections.abc import Iterable
from typing import Literal

from sqlglot import exp

from migration_plans.gather.sql_names import Scope, Source
from migration_plans.gather.sql_queries import Environment, Outputs, QueryWalk, nodes_in
from migration_plans.gather.statement import Access, Change, ColumnName

Kind = Literal["insert", "update", "delete"]


class Walk(QueryWalk):
    """Walks one statement; what it finds is in `found`."""

    def statement(self, node: exp.Expr, environment: Environment | None = None) -> Outputs:
        """Read any statement or query; returns its outputs by name."""
        environment = {} if environment is None else environment
        if isinstance(node, exp.Query):
            return self._query(node, environment, None)
        environment = self._common_tables(node, environment, None)
        if isinstance(node, exp.Insert):
            return self._insert(node, environment)
        if isinstance(node, exp.Update):
            return self._update(node, environment)
        if isinstance(node, exp.Delete):
            return self._delete(node, environment)
        if isinstance(node, exp.Merge):
            return self._merge(node, environment)
        if isinstance(node, exp.TruncateTable):
            for table in node.expressions:
                self._write_target(table, kind="delete")
        elif isinstance(node, exp.Copy):
            self._copy(node, environment)
        elif isinstance(node, exp.Create):
            if isinstance(node.expression, exp.Query):
                self._query(node.expression, environment, None)
        elif isinstance(node, exp.Values):
            self._expressions([node], environment, Scope())
        else:
            self.found.problem = f"a statement of kind {type(node).__name__}"
        return {}

    def _insert(self, node: exp.Insert, environment: Environment) -> Outputs:
        into = node.this
        columns = [self._identifier(one) for one in into.expressions] if isinstance(into, exp.Schema) else []
        if node.expression is not None:
            self._query(node.expression, environment, None)
        scope = Scope()
        table = self._write_target(into, scope, kind="insert")
        if table is not None:
            self._write_columns(table, columns or (self._names.catalog.columns or {}).get(table, ()))
        conflict = node.args.get("conflict")
        if conflict is not None:
            scope.sources["excluded"] = Source(outputs={})
            self._changed(self._assignments(conflict.expressions, environment, scope, default=table), "update")
            self._expressions(nodes_in(conflict.args.get("where")), environment, scope)
        return self._returning(node, environment, scope)

    def _update(self, node: exp.Update, environment: Environment) -> Outputs:
        scope = Scope()
        table = self._write_target(node.this, scope)
        self._joined(node.this.args.get("joins") or (), environment, scope)
        start = node.args.get("from_")
        if start is not None:
            self._relation(start.this, environment, scope)
            self._joined(node.args.get("joins") or (), environment, scope)
        self._expressions(nodes_in(node.args.get("where")), environment, scope)
        written = self._assignments(node.expressions, environment, scope, default=table)
        self._written_among(table, written, "update")
        return self._returning(node, environment, scope)

    def _delete(self, node: exp.Delete, environment: Environment) -> Outputs:
        scope = Scope()
        named = [table for table in node.args.get("tables") or () if isinstance(table, exp.Table)]
        table = self._write_target(node.this, scope)
        self._joined(node.this.args.get("joins") or (), environment, scope)
        using = node.args.get("using")
        for relation in using if isinstance(using, list) else ():
            self._relation(relation, environment, scope)
        self._expressions(nodes_in(node.args.get("where")), environment, scope)
        gone = {
            source.table
            for target in named
            if (source := scope.sources.get(self._identifier(target.this))) and source.table is not None
        }
        self._written_among(table, gone, "delete")
        return self._returning(node, environment, scope)

    def _merge(self, node: exp.Merge, environment: Environment) -> Outputs:
        scope = Scope()
        table = self._write_target(node.this, scope)
        self._relation(node.args["using"], environment, scope)
        self._expressions(nodes_in(node.args.get("on")), environment, scope)
        for when in node.args["whens"].expressions:
            then = when.args.get("then")
            self._expressions(nodes_in(when.args.get("condition")), environment, scope)
            if isinstance(then, exp.Update):
                self._assignments(then.expressions, environment, scope, default=table)
            elif isinstance(then, exp.Insert):
                if table is not None and isinstance(then.this, exp.Tuple):
                    self._write_columns(table, [self._identifier(one.this) for one in then.this.expressions])
                self._expressions(nodes_in(then.expression), environment, scope)
        self._written_among(table, set(), *_kinds_of_merge(node))
        return self._returning(node, environment, scope)

    def _copy(self, node: exp.Copy, environment: Environment) -> None:
        if isinstance(node.this, exp.Query):
            self._query(node.this, environment, None)
            return
        scope = Scope()
        into = bool(node.args.get("kind"))
        table = self._write_target(node.this, scope, kind="insert" if into else None)
        if table is None:
            return
        listed = [self._identifier(one) for one in node.this.expressions] if isinstance(node.this, exp.Schema) else []
        columns = listed or (self._names.catalog.columns or {}).get(table, ())
        if into:
            self._write_columns(table, columns)
        else:
            self.found.accesses[Access(table, "R")] = None
            for column in columns:
                self.found.read[ColumnName(table, column)] = None

    def _write_target(self, node: exp.Expr, scope: Scope | None = None, *, kind: Kind | None = None) -> str | None:
        """The table that a command writes, written if the `kind` is known; a view stands for the tables behind it."""
        table_node = node.this if isinstance(node, exp.Schema) else node
        if not isinstance(table_node, exp.Table) or not isinstance(table_node.this, exp.Identifier):
            self.found.problem = f"what is written: {node.sql()[:80]}"
            return None
        name = self._identifier(table_node.this)
        table = self._names.table(self._identifier(table_node.args.get("db")), name)
        if table is None:
            return None
        source = self._names.source(table)
        view = self._names.catalog.views.get(table)
        if view is not None:
            self.found.views[table] = None
            source = Source(table=view.tables[0] if len(view.tables) == 1 else None, outputs=view.columns)
        elif not self._names.is_known(table):
            self.found.unknown_tables[table] = None
            return None
        if scope is not None:
            scope.add(self._alias(table_node) or name, source)
        if kind is not None:
            self._written({table})
            self._changed({table}, kind)
        return table

    def _written(self, tables: Iterable[str]) -> None:
        for table in sorted(tables):
            view = self._names.catalog.views.get(table)
            for behind in (table,) if view is None else view.tables:
                self.found.accesses[Access(behind, "W")] = None

    def _changed(self, tables: Iterable[str], *kinds: Kind) -> None:
        for table in sorted(tables):
            view = self._names.catalog.views.get(table)
            for behind in (table,) if view is None else view.tables:
                self.found.changes |= {Change(behind, kind): None for kind in kinds}

    def _written_among(self, target: str | None, written: set[str], *kinds: Kind) -> None:
        """MySQL joins in UPDATE and DELETE: tables that are named and not written are read."""
        if target is not None and written and target not in written:
            self.found.accesses[Access(target, "R")] = None
        changed = written or ({target} if target is not None else set())
        self._written(changed)
        self._changed(changed, *kinds)

    def _write_columns(self, table: str, columns: Iterable[str]) -> None:
        view = self._names.catalog.views.get(table)
        for column in columns:
            name = ColumnName(table, column) if view is None else view.columns.get(column)
            if name is not None:
                self.found.written[name] = None

    def _assignments(
        self, nodes: Iterable[exp.Expr], environment: Environment, scope: Scope, *, default: str | None
    ) -> set[str]:
        """`column = value, …`; returns the tables whose columns are set."""
        tables: set[str] = set()
        for node in nodes:
            if not isinstance(node, exp.EQ):
                self._expressions([node], environment, scope)
                continue
            targets = node.this.expressions if isinstance(node.this, exp.Tuple) else [node.this]
            for target in targets:
                if not isinstance(target, exp.Column):
                    self._expressions([target], environment, scope)
                    continue
                qualifier = self._qualifier(target)
                column = self._identifier(target.this)
                source = scope.sources.get(qualifier) if qualifier else None
                table = source.table if source is not None and source.table is not None else default
                if table is not None:
                    tables.add(table)
                    self._write_columns(table, [column])
            self._expressions([node.expression], environment, scope)
        return tables

    def _returning(self, node: exp.Expr, environment: Environment, scope: Scope) -> Outputs:
        clause = node.args.get("returning")
        if clause is None:
            return {}
        self._expressions(clause.expressions, environment, scope)
        return self._outputs(clause.expressions, scope)


def _kinds_of_merge(node: exp.Merge) -> list[Kind]:
    """Of its branches; deletions and DO NOTHING stay words."""
    kinds: list[Kind] = []
    for when in node.args["whens"].expressions:
        then = when.args.get("then")
        if isinstance(then, exp.Insert):
            kinds.append("insert")
        elif isinstance(then, exp.Update):
            kinds.append("update")
        elif then is not None and then.name.upper() == "DELETE":
            kinds.append("delete")
    return kinds
