"""Names across files: what a call means, which table a model stands for. Pure."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Final

from migration_plans.gather.code_values import FunctionCode, ModelCode, ModuleCode
from migration_plans.gather.statement import Catalog

_ORDINARY: Final = frozenset(
    {
        *("get", "set", "add", "all", "filter", "first", "last", "update", "delete", "execute", "save", "create"),
        *("commit", "flush", "close", "count", "exists", "values", "items", "keys", "pop", "append", "extend"),
        *("format", "strip", "split", "read", "write", "run", "send", "start", "stop", "begin", "connect", "text"),
        *("copy", "one", "join"),
    }
)
"""Methods of libraries, which a function of the same name must not be taken for."""
_MOST_BASES: Final = 6


class CodeNames:
    """All files of a code base, by the names in them."""

    def __init__(self, modules: Sequence[ModuleCode], catalog: Catalog) -> None:
        self.modules = {module.name: module for module in modules}
        self._catalog = catalog
        self._by_name: dict[str, list[tuple[ModuleCode, FunctionCode]]] = defaultdict(list)
        self._models: dict[str, list[tuple[ModuleCode, ModelCode]]] = defaultdict(list)
        self._reverse: dict[tuple[str, str], str] = {}
        self._classes: dict[str, list[ModuleCode]] = defaultdict(list)
        for module in modules:
            for function in module.functions.values():
                self._by_name[function.name.rpartition(".")[2]].append((module, function))
            for name in module.bases:
                self._classes[name].append(module)
            for model in module.models.values():
                self._models[model.name].append((module, model))
        for module in modules:
            for name in module.bases:
                if name not in module.models and (abstract := self._abstract_base(module, name)) is not None:
                    model = ModelCode(name=name, table=None, relations=abstract.relations, reverse=abstract.reverse)
                    self._models[name].append((module, model))
        for candidates in self._models.values():
            for _, model in candidates:
                if not model.is_abstract:
                    for attribute, other in model.reverse.items():
                        self._reverse[other, attribute] = model.name

    def functions(self) -> Iterator[tuple[ModuleCode, FunctionCode]]:
        """All functions of all files."""
        for module in self.modules.values():
            for function in module.functions.values():
                yield module, function

    def related(self, model: ModelCode, attribute: str) -> str:
        """The model behind a relation's attribute, forwards or backwards; the empty string of other attributes."""
        return model.relations.get(attribute) or self._reverse.get((model.name, attribute), "")

    def returned(self, module: ModuleCode, name: str) -> str:
        """The model that a variable holds: by its name, by a relation, or by what the function that made it returns."""
        name, _, attribute = name.partition("#")
        name = module.aliases.get(name, name)
        if name.endswith("()"):
            target = self.resolve(module, name[:-2])
            name = (target[1].returns or "") if target is not None else ""
        if not attribute:
            return name
        holder = self.model(module, name)
        return self.related(holder[1], attribute) if holder is not None else ""

    def model(self, module: ModuleCode, name: str) -> tuple[ModuleCode, ModelCode] | None:
        """The model of that name, as seen from a file."""
        candidates = self._models.get(name.rpartition(".")[2], [])
        if len(candidates) <= 1:
            return candidates[0] if candidates else None
        home = module.imports.get(name, "").rpartition(".")[0]
        return next((one for one in candidates if one[0] is module or one[0].name == home), None)

    def table(self, module: ModuleCode, model: ModelCode) -> str | None:
        """The model's table; Django's default name is that of the app and the class."""
        if model.is_abstract:
            return None
        name = model.table
        if name is None:
            parts = module.name.split(".")
            app = parts[parts.index("models") - 1] if "models" in parts[1:] else parts[max(0, len(parts) - 2)]
            name = f"{app}_{model.name}".lower()
        columns = self._catalog.columns
        return name if columns is None or name in columns else None

    def resolve(self, module: ModuleCode, name: str) -> tuple[ModuleCode, FunctionCode] | None:
        """The function that a name means in a file."""
        if name in module.functions:
            return module, module.functions[name]
        first, _, rest = name.partition(".")
        imported = module.imports.get(first)
        if imported is not None:
            full = f"{imported}.{rest}" if rest else imported
            owner, _, last = full.rpartition(".")
            there = self.modules.get(owner)
            if there is not None:
                if last in there.functions:
                    return there, there.functions[last]
                if last in there.imports and there.imports[last] != full:
                    return self.resolve(there, last)
            return self.method(module, first, rest) if rest.isidentifier() else None
        last = name.rpartition(".")[2]
        if "." in name and last not in _ORDINARY:
            candidates = self._by_name.get(last, [])
            if len(candidates) == 1:
                return candidates[0]
        return None

    def method(
        self, module: ModuleCode, class_name: str, name: str, *, depth: int = 0
    ) -> tuple[ModuleCode, FunctionCode] | None:
        """The method of a class, or of what it inherits from."""
        owner, bare = self.find_class(module, module.aliases.get(class_name, class_name))
        if owner is None or depth > _MOST_BASES:
            return None
        function = owner.functions.get(f"{bare}.{name}")
        if function is not None:
            return owner, function
        inherited = (self.method(owner, base, name, depth=depth + 1) for base in owner.bases[bare] if base != bare)
        return next((one for one in inherited if one is not None), None)

    def find_class(self, module: ModuleCode, name: str) -> tuple[ModuleCode | None, str]:
        """The file of a class and its bare name: defined here, imported, or the only one of that name."""
        first, _, rest = name.partition(".")
        bare = name.rpartition(".")[2]
        if not rest and bare in module.bases:
            return module, bare
        imported = module.imports.get(first, "")
        for place in (imported, imported.rpartition(".")[0]):
            there = self.modules.get(place)
            if there is not None and bare in there.bases:
                return there, bare
        homes = self._classes.get(bare, [])
        return (homes[0], bare) if len(homes) == 1 else (None, bare)

    def _abstract_base(self, module: ModuleCode, name: str, depth: int = 0) -> ModelCode | None:
        """The abstract Django model that a class inherits from."""
        for base in module.bases[name]:
            owner, bare = self.find_class(module, base)
            if owner is None or (owner is module and bare == name) or depth > _MOST_BASES:
                continue
            model = owner.models.get(bare)
            found = model if model is not None else self._abstract_base(owner, bare, depth + 1)
            if found is not None and found.is_abstract:
                return found
        return None

    def known_tables(self) -> set[str]:
        """Tables of all models."""
        models = (one for candidates in self._models.values() for one in candidates)
        return {table for module, model in models if (table := self.table(module, model)) is not None}
