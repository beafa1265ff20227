"""Ways into a code base: routes with their prefixes, Django's URL patterns and views, tasks. Pure."""

from collections.abc import Iterator
from typing import Final

from migration_plans.gather.code_names import CodeNames
from migration_plans.gather.code_values import FunctionCode, ModuleCode, Step, WayIn
from migration_plans.gather.paths import unified

_DEPTH: Final = 8
_CLASS_WRITES: Final = ("Create", "Update", "Delete", "Destroy", "ModelViewSet", "Edit")
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
        owner, bare = self._class(module, name)
        if owner is None:
            return
        methods = {
            function.name.rpartition(".")[2]: (owner, function)
            for function in owner.functions.values()
            if function.name.startswith(f"{bare}.")
        }
        bases = " ".join(owner.bases.get(bare, ()))
        writes = any(word in bases for word in _CLASS_WRITES)
        mentioned = [Step("read", model, 0) for model in owner.class_models.get(bare, ())]
        shared = [item for name, item in methods.items() if name not in _VIEW_METHODS]
        generic = FunctionCode(name=bare, line=next((f.line for _, f in methods.values()), 1), steps=mentioned)
        verbs = [verb for verb in _VIEW_METHODS if verb in methods]
        verbs = verbs or (["get", "post"] if writes else ["get"])
        for verb in verbs:
            answering = [(owner, generic), *([methods[verb]] if verb in methods else []), *shared]
            if verb != "get" and writes:
                changed = [Step("write", step.what, 0) for step in mentioned]
                answering.append((owner, FunctionCode(name=bare, line=generic.line, steps=changed)))
            yield f"{verb.upper()} {path}", answering

    def _class(self, module: ModuleCode, name: str) -> tuple[ModuleCode | None, str]:
        first, _, rest = name.partition(".")
        bare = (rest or first).rpartition(".")[2]
        if not rest and bare in module.bases:
            return module, bare
        there = self._modules.get(module.imports.get(first, ""))
        if there is not None and bare in there.bases:
            return there, bare
        owner = module.imports.get(first, "").rpartition(".")[0]
        there = self._modules.get(owner)
        return (there, bare) if there is not None and bare in there.bases else (None, bare)

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
