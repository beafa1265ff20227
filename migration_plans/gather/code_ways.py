"""Ways into a code base: routes with their prefixes, Django's URL patterns and views, tasks. Pure."""

from collections.abc import Iterator
from typing import Final

from migration_plans.gather.code_names import CodeNames
from migration_plans.gather.code_values import FunctionCode, ModuleCode, Step, WayIn
from migration_plans.gather.paths import unified

_DEPTH: Final = 8
_GENERIC: Final = {
    "List": "get",
    "Detail": "get",
    "Retrieve": "get",
    "Create": "get post",
    "Update": "get post",
    "Delete": "get post",
}
"""Words in the names of generic views → what those answer."""
_REST: Final = {
    "List": "get",
    "Retrieve": "get",
    "Create": "post",
    "Update": "put patch",
    "Destroy": "delete",
    "ModelViewSet": "get post put patch delete",
}
"""The same of Django REST framework."""
_VIEW_METHODS: Final = ("get", "post", "put", "patch", "delete")

Answering = list[tuple[ModuleCode, FunctionCode]]
"""Functions that run for a way in, in their order."""


class WaysIn:
    """Finds how work comes in."""

    def __init__(self, names: CodeNames) -> None:
        self._names = names
        self._modules = names.modules

    def all(self) -> Iterator[tuple[str, Answering]]:
        """Names (`METHOD /path`, `job name`) with the functions that answer; some have none that was found."""
        for module in self._modules.values():
            for way in module.ways_in:
                yield from self._entries(module, way)

    def _entries(self, module: ModuleCode, way: WayIn) -> Iterator[tuple[str, Answering]]:
        """Names of a way in, and the functions that answer it."""
        path = f"{self._prefix(module, way.router)}{way.path}"
        path = unified(path if path.startswith("/") else f"/{path}")
        target = self._names.resolve(module, way.function)
        if way.method != "*":
            name = f"{way.method} {path}" if way.method else f"job {way.function}"
            yield name, [] if target is None else [target]
        elif target is not None:
            for verb in sorted(target[1].verbs or {"GET"}):
                yield f"{verb} {path}", [target]
        else:
            yield from self._class_entries(module, way.function, path)

    def _class_entries(self, module: ModuleCode, name: str, path: str) -> Iterator[tuple[str, Answering]]:
        """A class-based view: its methods, and the models that it names."""
        owner, bare = self._names.find_class(module, name)
        if owner is None:
            return
        methods = {
            function.name.rpartition(".")[2]: (owner, function)
            for function in owner.functions.values()
            if function.name.startswith(f"{bare}.")
        }
        bases = " ".join((bare, *owner.bases.get(bare, ())))
        mentioned = self._models_of(owner, bare)
        shared = [item for method, item in methods.items() if method not in _VIEW_METHODS]
        line = owner.class_lines.get(bare, 1)
        read = (owner, FunctionCode(name=bare, line=line, steps=[Step("read", model, 0) for model in mentioned]))
        written = (owner, FunctionCode(name=bare, line=line, steps=[Step("write", model, 0) for model in mentioned]))
        known = _REST if "API" in bases or "ViewSet" in bases else _GENERIC
        generic = {verb for word, verbs in known.items() if word in bases for verb in verbs.split()}
        for verb in sorted({*generic, *(verb for verb in _VIEW_METHODS if verb in methods)} or {"get"}):
            own = [methods[verb]] if verb in methods else []
            changed = [written] if verb in generic - {"get"} else []
            yield f"{verb.upper()} {path}", [read, *own, *shared, *changed]

    def _models_of(self, module: ModuleCode, name: str, depth: int = 0) -> list[str]:
        """Models that a view names itself, or by its serializer or form."""
        found: dict[str, None] = {}
        for one in module.class_models.get(name, ()):
            owner, bare = self._names.find_class(module, one)
            if self._names.model(module, one) is not None:
                found[one] = None
            elif (
                owner is not None and bare in owner.class_models and depth < _DEPTH and (owner, bare) != (module, name)
            ):
                found |= dict.fromkeys(self._models_of(owner, bare, depth + 1))
        return list(found)

    def _prefix(self, module: ModuleCode, router: str) -> str:
        """What stands before a route: of its router, and of what that is mounted under."""
        if router == "urlpatterns":
            return self._mounted(module.name, depth=0)
        own = module.prefixes.get(router, "")
        for other in self._modules.values():
            for mounted, prefix in other.mounts:
                first, _, rest = mounted.partition(".")
                full = ".".join(part for part in (other.imports.get(first, first), rest) if part)
                if full in {f"{module.name}.{router}", router} and (other is module or full != router):
                    return prefix + own
        return own

    def _mounted(self, name: str, *, depth: int) -> str:
        if depth > _DEPTH:
            return ""
        for other in self._modules.values():
            for mounted, prefix in other.mounts:
                if mounted == name or name.endswith(f".{mounted}"):
                    return self._mounted(other.name, depth=depth + 1) + prefix
        return ""
