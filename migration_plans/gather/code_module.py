"""One Python file, parsed and not run: its models, functions, SQL texts and ways in. Pure.

What a function does is a list of steps in the order of the text: a model is mentioned, SQL is written, something is
called. `code_graph` joins the steps of all files.
"""

import ast
import re
from collections.abc import Iterable
from typing import Final

from migration_plans.gather.code_steps import Steps
from migration_plans.gather.code_values import (
    FunctionCode,
    ModelCode,
    ModuleCode,
    WayIn,
    annotated,
    assigned,
    dotted,
    keyword,
    names_in,
    text_of,
)

_VERBS: Final = frozenset({"get", "post", "put", "patch", "delete", "head", "options"})
_VERB_DECORATORS: Final[dict[str, set[str]]] = {
    "require_POST": {"POST"},
    "require_GET": {"GET"},
    "require_safe": {"GET"},
    "require_http_methods": set(),
    "api_view": set(),
}
_TASKS: Final = frozenset({"task", "shared_task", "command", "periodic_task", "job", "actor", "scheduled_job"})


def read_module(tree: ast.Module, *, name: str, file: str) -> ModuleCode:
    """What the file holds."""
    module = ModuleCode(name=name, file=file)
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for one in node.names:
                module.imports[one.asname or one.name.split(".")[0]] = one.name
        elif isinstance(node, ast.ImportFrom):
            base = _absolute(node, name, is_package=file.endswith("__init__.py"))
            for one in node.names:
                module.imports[one.asname or one.name] = f"{base}.{one.name}" if base else one.name
    _Reader(module).body(tree.body, owner="")
    return module


def _absolute(node: ast.ImportFrom, module: str, *, is_package: bool) -> str:
    if not node.level:
        return node.module or ""
    parts = module.split(".")
    kept = parts[: len(parts) - node.level + (1 if is_package else 0)]
    return ".".join([*kept, node.module] if node.module else kept)


class _Reader:
    """Walks definitions."""

    def __init__(self, module: ModuleCode) -> None:
        self._module = module

    def body(self, nodes: Iterable[ast.stmt], *, owner: str) -> None:
        for node in nodes:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                self._function(node, owner)
            elif isinstance(node, ast.ClassDef):
                self._class(node)
            elif isinstance(node, ast.If | ast.Try | ast.With):
                self.body([child for child in ast.iter_child_nodes(node) if isinstance(child, ast.stmt)], owner=owner)
            elif not owner:
                self._value(node)

    def _function(self, node: ast.FunctionDef | ast.AsyncFunctionDef, owner: str) -> None:
        name = f"{owner}.{node.name}" if owner else node.name
        code = FunctionCode(name=name, line=node.lineno, returns=annotated(node.returns))
        steps = Steps(self._module, code, owner)
        arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
        steps.variables |= {one.arg: model for one in arguments if (model := annotated(one.annotation))}
        for statement in node.body:
            steps.visit(statement)
        self._module.functions[name] = code
        for decorator in node.decorator_list:
            self._decorated(decorator, name)

    def _decorated(self, node: ast.expr, function: str) -> None:
        call = node if isinstance(node, ast.Call) else None
        router, _, verb = dotted(call.func if call else node).rpartition(".")
        arguments = [one for one in (text_of(argument) for argument in (call.args if call else ())) if one is not None]
        path = arguments[0] if arguments else (text_of(keyword(call, "rule") or keyword(call, "path")) or "")
        if verb in _VERBS and call is not None and (arguments or path):
            self._module.ways_in.append(WayIn(method=verb.upper(), path=path, router=router, function=function))
        elif verb in {"route", "api_route"} and call is not None:
            methods = keyword(call, "methods")
            verbs = (
                [text_of(one) or "" for one in methods.elts] if isinstance(methods, ast.List | ast.Tuple) else ["GET"]
            )
            for one in verbs:
                self._module.ways_in.append(WayIn(method=one.upper(), path=path, router=router, function=function))
        elif verb in _VERB_DECORATORS:
            given = call.args[0] if call is not None and call.args else None
            answered = given.elts if isinstance(given, ast.List | ast.Tuple) else []
            named = {text_of(one) or "" for one in answered} | _VERB_DECORATORS[verb]
            self._module.functions[function].verbs |= {one.upper() for one in named if one}
        elif verb in _TASKS:
            self._module.ways_in.append(WayIn(method="", path="", router=verb, function=function))

    def _class(self, node: ast.ClassDef) -> None:
        self._module.class_lines[node.name] = node.lineno
        self._module.bases[node.name] = tuple(dotted(base) for base in node.bases)
        table: str | None = None
        relations: dict[str, str] = {}
        reverse: dict[str, str] = {}
        is_model = is_abstract = False
        for one in node.body:
            target, value = assigned(one)
            if target == "__tablename__":
                table, is_model = text_of(value), True
            elif target == "__abstract__":
                is_abstract = True
            elif target in {"model", "queryset", "serializer_class", "form_class"} and value is not None:
                self._module.class_models.setdefault(node.name, []).extend(names_in(value))
            elif target and isinstance(value, ast.Call):
                field_kind = dotted(value.func).rpartition(".")[2]
                other = _related(value, one)
                if field_kind in {"ForeignKey", "OneToOneField", "ManyToManyField", "ParentalKey", "relationship"}:
                    is_model = is_model or dotted(value.func).startswith("models.")
                    if other:
                        relations[target] = node.name if other == "self" else other
                        default = node.name.lower() + ("" if field_kind == "OneToOneField" else "_set")
                        if field_kind != "relationship":
                            reverse[text_of(keyword(value, "related_name")) or default] = relations[target]
            elif isinstance(one, ast.ClassDef) and one.name == "Meta":
                meta = dict(assigned(line) for line in one.body)
                if (named := meta.get("model")) is not None:
                    self._module.class_models.setdefault(node.name, []).extend(names_in(named))
                table = text_of(meta.get("db_table")) or table
                abstract = meta.get("abstract")
                is_abstract = isinstance(abstract, ast.Constant) and abstract.value is True
        if is_model or any(base.rpartition(".")[2] == "Model" for base in self._module.bases[node.name]):
            self._module.models[node.name] = ModelCode(
                name=node.name, table=table, relations=relations, reverse=reverse, is_abstract=is_abstract
            )
        self.body(node.body, owner=node.name)

    def _value(self, node: ast.stmt) -> None:
        """A statement of the module: a constant, a query, a router, urlpatterns."""
        target, value = assigned(node)
        if value is None and isinstance(node, ast.Expr):
            value = node.value
        if value is None:
            return
        self._mounts(value)
        if not target:
            return
        if target[:1].isupper() and isinstance(value, ast.Subscript) and (named := annotated(value)):
            self._module.aliases[target] = named
            return
        text = text_of(value)
        if text is not None:
            self._module.texts[target] = text
        if isinstance(value, ast.Call):
            kind = dotted(value.func).rpartition(".")[2]
            prefix = text_of(keyword(value, "url_prefix") or keyword(value, "prefix"))
            if kind in {"Blueprint", "APIRouter", "Flask", "FastAPI", "Router"}:
                self._module.prefixes[target] = prefix or ""
                return
            first = text_of(value.args[0]) if value.args else None
            if kind == "Table" and first:
                self._module.models[target] = ModelCode(name=target, table=first, relations={}, reverse={})
                return
        code = FunctionCode(name=target, line=node.lineno)
        Steps(self._module, code, "").visit(value)
        if code.steps:
            self._module.functions.setdefault(target, code)

    def _mounts(self, value: ast.expr) -> None:
        for call in (node for node in ast.walk(value) if isinstance(node, ast.Call)):
            kind = dotted(call.func).rpartition(".")[2]
            if kind in {"path", "re_path", "url"} and len(call.args) >= 2:
                self._django_path(text_of(call.args[0]) or "", call.args[1])
            elif kind in {"include_router", "register_blueprint"} and call.args:
                prefix = text_of(keyword(call, "prefix") or keyword(call, "url_prefix"))
                if prefix:
                    self._module.mounts.append((dotted(call.args[0]), prefix))

    def _django_path(self, path: str, view: ast.expr) -> None:
        path = re.sub(r"\(\?P<(\w+)>[^()]*\)", r"<\1>", path).strip("^$")
        if isinstance(view, ast.Call):
            called = dotted(view.func)
            if called.rpartition(".")[2] == "include" and view.args:
                included = text_of(view.args[0]) or dotted(view.args[0])
                self._module.mounts.append((included, path))
                return
            view = view.func.value if isinstance(view.func, ast.Attribute) and view.func.attr == "as_view" else view
        self._module.ways_in.append(WayIn(method="*", path=path, router="urlpatterns", function=dotted(view)))


def _related(value: ast.Call, statement: ast.stmt) -> str | None:
    """The model that a relation points to."""
    first = value.args[0] if value.args else (keyword(value, "to") or keyword(value, "argument"))
    named = text_of(first) or dotted(first)
    if not named and isinstance(statement, ast.AnnAssign):
        named = annotated(statement.annotation) or ""
    return named.rpartition(".")[2] or None
