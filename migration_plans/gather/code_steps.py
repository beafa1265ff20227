"""What one Python function does, step by step, as far as its text shows. Pure."""

import ast
import re
from typing import Final

from migration_plans.gather.code_values import (
    FunctionCode,
    ModuleCode,
    Step,
    StepKind,
    annotated,
    dotted,
    names_in,
    text_of,
)

_SQL: Final = re.compile(
    r"\s*(?:--[^\n]*\n\s*)*"
    r"(?:SELECT\s.*\bFROM\s|INSERT\s+INTO\s|UPDATE\s.*\bSET\s|DELETE\s+FROM\s|MERGE\s+INTO\s|TRUNCATE\s|LOCK\s+TABLE\s"
    r"|WITH\s+(?:RECURSIVE\s+)?\w+\s*(?:\([^()]*\)\s*)?AS\s*(?:NOT\s+)?(?:MATERIALIZED\s*)?\()",
    re.IGNORECASE | re.DOTALL,
)
"""Not every text that begins with "Select" or "With" is SQL."""
_FRAGMENT: Final = re.compile(r"\s*(?:LEFT |RIGHT |INNER |CROSS )?(?:JOIN|FROM)\s+\w", re.IGNORECASE)
_WRITING_CALLS: Final = frozenset({"insert", "update", "delete", "Insert", "Update", "Delete"})
_WRITING_METHODS: Final = frozenset(
    {"create", "bulk_create", "get_or_create", "update_or_create", "bulk_update", "update", "delete", "acreate"}
)
_ONLY_WRITING_METHODS: Final = _WRITING_METHODS - {"get_or_create", "update_or_create"}
_SAVING_METHODS: Final = frozenset({"save", "delete", "asave", "adelete", "refresh_from_db"})
_NO_MENTION: Final = frozenset({"isinstance", "issubclass", "cast", "TypeVar"})
_NO_ATTRIBUTE: Final = frozenset({"DoesNotExist", "MultipleObjectsReturned", "Meta", "__name__", "__table__"})


class Steps(ast.NodeVisitor):
    """The steps of one function, in the order of its text; which variable holds which model, as far as it shows."""

    def __init__(self, module: ModuleCode, code: FunctionCode, owner: str) -> None:
        self._module = module
        self._code = code
        self._owner = owner
        self.variables: dict[str, str] = {}
        self._quiet: set[str] = set()

    def visit_Assign(self, node: ast.Assign) -> None:
        self.visit(node.value)
        for target in node.targets:
            self._target(target, node.value)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if node.value is not None:
            self.visit(node.value)
        model = annotated(node.annotation)
        if isinstance(node.target, ast.Name) and model:
            self.variables[node.target.id] = model
        elif node.value is not None:
            self._target(node.target, node.value)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        self.visit(node.value)
        self._target(node.target, node.value)

    def visit_NamedExpr(self, node: ast.NamedExpr) -> None:
        self.visit(node.value)
        self._target(node.target, node.value)

    def visit_For(self, node: ast.For) -> None:
        self.visit(node.iter)
        self._target(node.target, node.iter)
        for statement in [*node.body, *node.orelse]:
            self.visit(statement)

    def visit_ListComp(self, node: ast.ListComp | ast.SetComp | ast.GeneratorExp | ast.DictComp) -> None:
        for generator in node.generators:
            self.visit(generator)
        for value in [node.key, node.value] if isinstance(node, ast.DictComp) else [node.elt]:
            self.visit(value)

    visit_SetComp = visit_GeneratorExp = visit_DictComp = visit_ListComp  # noqa: N815

    def visit_comprehension(self, node: ast.comprehension) -> None:
        self.visit(node.iter)
        self._target(node.target, node.iter)
        for condition in node.ifs:
            self.visit(condition)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        for statement in node.body:
            self.visit(statement)

    def visit_ExceptHandler(self, node: ast.ExceptHandler) -> None:
        for statement in node.body:
            self.visit(statement)

    def visit_Call(self, node: ast.Call) -> None:
        name = dotted(node.func)
        receiver, _, last = name.rpartition(".")
        if last in _NO_MENTION:
            return
        text = self._sql_of(node)
        if text is not None:
            self._add("sql", text, node)
        first = dotted(node.args[0]).split(".")[0] if node.args else ""
        # `update(Order).where(Order.id == …)` names what it writes; that is no reading.
        written = _written_by(node)
        quiet = {written} - self._quiet if written else set()
        self._quiet |= quiet
        if isinstance(node.func, ast.Attribute):
            self.visit(node.func.value)
        for argument in [*node.args, *(one.value for one in node.keywords)]:
            self.visit(argument)
        self._quiet -= quiet
        if last in _WRITING_CALLS and first[:1].isupper() and not receiver[:1].isupper():
            self._add("write", first, node)
        elif last == "setattr" and first in self.variables:
            self._add("write", self.variables[first], node)
        elif last in _SAVING_METHODS and (receiver in self.variables or first in self.variables):
            self._add("write", self.variables.get(receiver) or self.variables[first], node)
        elif last in _WRITING_METHODS and (queried := _queried(node.func)):
            self._add("write", queried, node)
        elif last in _WRITING_METHODS and (root := _root(node.func)) and (root[:1].isupper() or root in self.variables):
            self._add("write", self.variables.get(root, root), node)
        elif last in {"select_related", "prefetch_related"} and (root := _root(node.func)):
            for argument in node.args:
                for part in (text_of(argument) or "").split("__"):
                    self._add("relation", part, node, of=self.variables.get(root, root))
        if receiver.count(".") == 0 and receiver in self.variables:
            self._add("relation", last, node, of=self.variables[receiver])
        elif name:
            self._add("call", f"{self._owner}.{last}" if receiver in {"self", "cls"} and self._owner else name, node)

    def visit_Compare(self, node: ast.Compare) -> None:
        if dotted(node.left).endswith("request.method"):
            named = {text_of(one) for one in ast.walk(node) if isinstance(one, ast.Constant)}
            self._code.verbs |= {"GET", *(name for name in named if name)}
        self.generic_visit(node)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        if node.attr in _NO_ATTRIBUTE and isinstance(node.value, ast.Name):
            if node.attr == "__table__":
                self.visit(node.value)
            return
        self.visit(node.value)
        if isinstance(node.value, ast.Name) and node.value.id in self._module.imports.keys() - self.variables.keys():
            # A constant of another file: `statements.BY_ID`.
            self._add("call", dotted(node), node)
        if isinstance(node.value, ast.Name) and node.value.id in self.variables and isinstance(node.ctx, ast.Load):
            self._add("relation", node.attr, node, of=self.variables[node.value.id])

    def visit_Name(self, node: ast.Name) -> None:
        if isinstance(node.ctx, ast.Load) and node.id not in self.variables.keys() | self._quiet:
            self._add("read" if node.id[:1].isupper() else "call", node.id, node)

    def visit_Constant(self, node: ast.Constant) -> None:
        if isinstance(node.value, str) and (_SQL.match(node.value) or _FRAGMENT.match(node.value)):
            self._add("sql", node.value, node)

    def visit_JoinedStr(self, node: ast.JoinedStr) -> None:
        text = self._composed(node)
        if text is not None and (_SQL.match(text) or _FRAGMENT.match(text)):
            self._add("sql", text, node)
        for value in node.values:
            if isinstance(value, ast.FormattedValue):
                self.visit(value.value)

    def visit_BinOp(self, node: ast.BinOp) -> None:
        text = self._composed(node)
        if text is not None and _SQL.match(text):
            self._add("sql", text, node)
        else:
            self.generic_visit(node)

    def _sql_of(self, node: ast.Call) -> str | None:
        """`TEMPLATE.format(name="x")` of a text that is SQL."""
        if not isinstance(node.func, ast.Attribute) or node.func.attr != "format":
            return None
        template = self._composed(node.func.value)
        if template is None or not _SQL.match(template):
            return None
        for one in node.keywords:
            template = template.replace(f"{{{one.arg}}}", self._composed(one.value) or "x")
        return template

    def _composed(self, node: ast.expr) -> str | None:
        """A string with `x` for each part that is not known."""
        if isinstance(node, ast.Constant):
            return node.value if isinstance(node.value, str) else None
        if isinstance(node, ast.Name):
            return self._module.texts.get(node.id)
        if isinstance(node, ast.FormattedValue):
            return self._composed(node.value) or "x"
        if isinstance(node, ast.JoinedStr):
            return "".join(self._composed(value) or "" for value in node.values)
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
            sides = [self._composed(node.left), self._composed(node.right)]
            return None if sides == [None, None] else "".join(side or " x " for side in sides)
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mod):
            return self._composed(node.left)
        return self._sql_of(node) if isinstance(node, ast.Call) else None

    def _target(self, target: ast.expr, value: ast.expr) -> None:
        if isinstance(target, ast.Name):
            held = self._held(value)
            if held:
                self.variables[target.id] = held
            elif isinstance(value, ast.Call):
                # What the function returns is looked up when the files are joined.
                self.variables[target.id] = f"{dotted(value.func)}()"
        elif isinstance(target, ast.Attribute) and isinstance(target.value, ast.Name):
            if target.value.id in self.variables:
                self._add("write", self.variables[target.value.id], target)
        elif isinstance(target, ast.Tuple):
            for one in target.elts:
                self._target(one, value)

    def _held(self, value: ast.expr) -> str:
        """The model whose objects a value seems to hold: `Model`, or `Model#relation` for an attribute of one."""
        root, attribute = _first_attribute(value)
        if root in self.variables and attribute:
            return f"{self.variables[root].split('#')[0]}#{attribute}"
        names = names_in(value)
        models = [name for name in names if name[:1].isupper()]
        return next(iter([*models, *(self.variables[name] for name in names if name in self.variables)]), "")

    def _add(self, kind: StepKind, what: str, node: ast.expr, of: str = "") -> None:
        self._code.steps.append(Step(kind, what, node.lineno, of))


def _root(node: ast.expr) -> str:
    """The first name of `A.objects.filter(…).update`."""
    while isinstance(node, ast.Attribute | ast.Call):
        node = node.value if isinstance(node, ast.Attribute) else node.func
    return node.id if isinstance(node, ast.Name) else ""


def _queried(node: ast.expr) -> str:
    """The model of `session.query(A).filter(…).update`."""
    while isinstance(node, ast.Attribute | ast.Call):
        if isinstance(node, ast.Call) and node.args and dotted(node.func).rpartition(".")[2] == "query":
            first = dotted(node.args[0]).split(".")[0]
            return first if first[:1].isupper() else ""
        node = node.value if isinstance(node, ast.Attribute) else node.func
    return ""


def _first_attribute(node: ast.expr) -> tuple[str, str]:
    """`order` and `lines` of `order.lines.all()`; no attribute where the first one is called (`query.limit(5)`)."""
    attribute, called = "", False
    while isinstance(node, ast.Attribute | ast.Call):
        if isinstance(node, ast.Call):
            node, called = node.func, True
        else:
            attribute, called, node = ("" if called else node.attr), False, node.value
    return (node.id, attribute) if isinstance(node, ast.Name) else ("", "")


def _written_by(node: ast.expr) -> str:
    """The model that a chain of calls writes: of `update(A)…`, of `A.objects….delete()`, or of `query(A)….delete()`."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        root = _queried(node.func) or _root(node.func)
        if node.func.attr in _ONLY_WRITING_METHODS and root[:1].isupper():
            return root
    while isinstance(node, ast.Attribute | ast.Call):
        if isinstance(node, ast.Call) and dotted(node.func).rpartition(".")[2] in _WRITING_CALLS and node.args:
            first = dotted(node.args[0]).split(".")[0]
            if first[:1].isupper() and not isinstance(node.func, ast.Attribute):
                return first
        node = node.value if isinstance(node, ast.Attribute) else node.func
    return ""
