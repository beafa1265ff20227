"""Calls followed by name from each way in, down to the tables that they reach. Pure.

Everything found here is a guess: nothing was run. What cannot be resolved is left out, not invented.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from migration_plans.gather.code_facts import CodeFunctionality
from migration_plans.gather.code_names import CodeNames
from migration_plans.gather.code_values import FunctionCode, ModuleCode, Step
from migration_plans.gather.code_ways import Answering, WaysIn
from migration_plans.gather.sql import SqlReader
from migration_plans.gather.statement import Access, StatementFacts

DEPTH: Final = 8
"""Calls followed below a way in."""
_MOST_STEPS: Final = 5_000
_TABLE_WORD: Final = re.compile(r"\b(?P<verb>FROM|JOIN|INTO|UPDATE)\s+(?:ONLY\s+)?(?P<name>[\w.\"`]+)", re.IGNORECASE)


class CodeGraph:
    """All files of a code base."""

    def __init__(self, modules: Sequence[ModuleCode], reader: SqlReader) -> None:
        self._reader = reader
        self._names = CodeNames(modules, reader.catalog)
        self.not_understood: dict[tuple[str, str], None] = {}

    def functionalities(self) -> list[CodeFunctionality]:
        """Each way in with what it reaches, in the order of their names."""
        found: dict[str, CodeFunctionality] = {}
        for name, functions in WaysIn(self._names).all():
            if functions and name not in found:
                found[name] = self._functionality(name, functions)
        if not found:
            # No web framework that is known: what nobody calls is a way in.
            found = {one.name: one for one in self._uncalled() if one.accesses}
        return [found[name] for name in sorted(found)]

    def _functionality(self, name: str, functions: Answering) -> CodeFunctionality:
        accesses: dict[Access, None] = {}
        joins: dict[tuple[str, ...], None] = {}
        for module, function in functions:
            self._follow(module, function, accesses, joins)
        module, function = functions[0]
        return CodeFunctionality(
            name=name, where=f"{module.file}:{function.line}", accesses=tuple(accesses), joins=tuple(joins)
        )

    def _uncalled(self) -> Iterator[CodeFunctionality]:
        called = {
            step.what.rpartition(".")[2]
            for _, function in self._names.functions()
            for step in function.steps
            if step.kind == "call"
        }
        for module, function in self._names.functions():
            if function.name.rpartition(".")[2] not in called:
                yield self._functionality(f"{module.name}.{function.name}", [(module, function)])

    def _follow(
        self,
        module: ModuleCode,
        function: FunctionCode,
        accesses: dict[Access, None],
        joins: dict[tuple[str, ...], None],
    ) -> None:
        """Add what a function does, and what those do that it calls, in the order of the text."""
        seen = {(module.name, function.name)}
        pending: list[tuple[ModuleCode, Iterator[Step]]] = [(module, iter(function.steps))]
        taken = 0
        while pending and taken < _MOST_STEPS:
            owner, steps = pending[-1]
            step = next(steps, None)
            if step is None:
                pending.pop()
                continue
            taken += 1
            if step.kind == "sql":
                facts = self._statement(owner, step)
                accesses |= dict.fromkeys(facts.accesses)
                joined = tuple(sorted({side.table for join in facts.joins for side in join}))
                if len(joined) > 1:
                    joins[joined] = None
            elif step.kind != "write":
                target = self._called(owner, step)
                if target is None:
                    self._model_step(owner, step, accesses)
                elif len(pending) <= DEPTH and (key := (target[0].name, target[1].name)) not in seen:
                    seen.add(key)
                    pending.append((target[0], iter(target[1].steps)))
            else:
                self._model_step(owner, step, accesses)

    def _called(self, module: ModuleCode, step: Step) -> tuple[ModuleCode, FunctionCode] | None:
        """The function that a step calls; a method by the class of what it is called on."""
        if step.kind == "relation":
            return self._names.method(module, self._names.returned(module, step.of), step.what)
        owner, _, last = step.what.rpartition(".")
        if not owner and self._names.model(module, step.what) is not None:
            # `Order = get_model("shop", "Order")` is the model all the same.
            return None
        return self._names.resolve(module, step.what) or (self._names.method(module, owner, last) if owner else None)

    def _model_step(self, module: ModuleCode, step: Step, accesses: dict[Access, None]) -> None:
        name = step.what
        if step.kind == "relation":
            holder = self._names.model(module, self._names.returned(module, step.of))
            name = self._names.related(holder[1], step.what) if holder is not None else ""
        model = self._names.model(module, self._names.returned(module, name)) if name else None
        table = self._names.table(*model) if model is not None else None
        if table is not None:
            # An object that is made is a row that will be written.
            accesses[Access(table, "W" if step.kind in {"write", "call"} else "R")] = None

    def _statement(self, module: ModuleCode, step: Step) -> StatementFacts:
        text = re.sub(r"%\(\w+\)s|%s", "NULL", step.what).replace("%%", "%")
        text = re.sub(r"\{\w*\}", "x", text)
        facts = self._reader.read(text)
        if facts.not_understood is None and (facts.accesses or facts.unknown_tables):
            return facts
        guessed = self._guessed(text)
        if not guessed and facts.not_understood is not None:
            self.not_understood[f"{module.file}:{step.line}", facts.not_understood] = None
        return StatementFacts(kind="", accesses=tuple(guessed))

    def _guessed(self, text: str) -> dict[Access, None]:
        """Names after FROM, JOIN, INTO and UPDATE that are tables, of a text that does not parse."""
        known: Mapping[str, object] | set[str] = self._reader.catalog.columns or self._names.known_tables()
        return {
            Access(name, "W" if word["verb"].upper() in {"INTO", "UPDATE"} else "R"): None
            for word in _TABLE_WORD.finditer(text)
            if (name := word["name"].strip('"`')) in known
        }
