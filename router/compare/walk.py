"""The parallel walk over two trees, within a budget of steps."""

from collections.abc import Sequence

from router.compare import arrays
from router.compare.masks import Mask, MaskKind, excuses, excuses_absence, shape_test
from router.compare.paths import ROOT, Place, child, counted_text, exact_text, is_dynamic, key_step
from router.compare.rules import (
    CompareRules,
    RuleStates,
    array_rule,
    declared_map,
    into_element,
    into_key,
    mask_in_force,
)
from router.compare.tree import DuplicateKeys, Kind, Tree, identical, kind_of, preview
from router.compare.values import Outcome, OutcomeClass


class Budget:
    """Steps left, and whether anything was left out for want of them."""

    __slots__ = ("steps", "truncated")

    def __init__(self, steps: int) -> None:
        self.steps = steps
        self.truncated = False

    def spend(self, steps: int = 1) -> bool:
        """Take `steps`; false, and `truncated` from then on, once there are none left."""
        if self.steps < steps:
            self.truncated = True
            return False
        self.steps -= steps
        return True


class Walk:
    """Collects the outcomes of one comparison."""

    def __init__(self, rules: CompareRules) -> None:
        self.rules = rules
        self.budget = Budget(rules.max_steps)
        self.outcomes: list[Outcome] = []
        self.excused: dict[str, None] = {}

    def pair(self, control: Tree, candidate: Tree, place: Place, states: RuleStates, depth: int = 0) -> None:
        """Compare two present values."""
        if not self.budget.spend():
            return
        if depth > self.rules.max_depth:
            self.budget.truncated = True
            return
        mask = mask_in_force(states) if states else None
        if mask is not None and excuses(mask, control, candidate):
            if not identical(control, candidate):
                self.excused[mask.id] = None
            return
        if self._nulls_agree(control, candidate):
            return
        kind = kind_of(control)
        if kind is not kind_of(candidate):
            self.report(OutcomeClass.TYPE, place, control, candidate)
        elif kind is Kind.OBJECT:
            self._objects(control, candidate, place, states, depth)
        elif kind is Kind.ARRAY:
            self._arrays(control, candidate, place, states, depth)
        elif kind is Kind.NUMBER and self.rules.strict_numbers and type(control) is not type(candidate):
            self.report(OutcomeClass.TYPE, place, control, candidate)
        elif control != candidate:
            self.report(_scalar_class(mask, control, candidate), place, control, candidate)

    def absent(self, kind: OutcomeClass, value: Tree, place: Place, states: RuleStates) -> None:
        """A value that only one side has (`MISSING`: only the control)."""
        if not self.budget.spend():
            return
        if value is None and self.rules.null_is_missing:
            return
        mask = mask_in_force(states) if states else None
        if mask is not None and excuses_absence(mask):
            self.excused[mask.id] = None
            return
        is_missing = kind is OutcomeClass.MISSING
        self.add(kind, place, preview(value) if is_missing else "", "" if is_missing else preview(value))

    def report(self, kind: OutcomeClass, place: Place, control: Tree, candidate: Tree) -> None:
        self.add(kind, place, preview(control), preview(candidate))

    def add(self, kind: OutcomeClass, place: Place, control: str, candidate: str) -> None:
        if len(self.outcomes) >= self.rules.max_outcomes:
            self.budget.truncated = True
            return
        self.outcomes.append(
            Outcome(path=counted_text(place), kind=kind, at=exact_text(place), control=control, candidate=candidate)
        )

    def differs(self, control: Tree, candidate: Tree, states: RuleStates, depth: int) -> int:
        """How many outcomes this pair would give; nothing is recorded."""
        probe = Walk(self.rules)
        probe.budget = self.budget
        was_truncated = self.budget.truncated
        probe.pair(control, candidate, ROOT, states, depth)
        self.budget.truncated = was_truncated or self.budget.steps <= 0
        return len(probe.outcomes)

    def _nulls_agree(self, control: Tree, candidate: Tree) -> bool:
        if not self.rules.null_is_empty or (control is None) == (candidate is None):
            return False
        other = candidate if control is None else control
        return kind_of(other) in (Kind.STRING, Kind.ARRAY, Kind.OBJECT) and len(other) == 0

    def _objects(
        self, control: dict[str, Tree], candidate: dict[str, Tree], place: Place, states: RuleStates, depth: int
    ) -> None:
        self._duplicates(control, candidate, place)
        names = list(control) + [name for name in candidate if name not in control]
        declared = declared_map(states) if states else None
        is_map = is_dynamic(names) if declared is None else declared
        for name in names:
            step = key_step(name)
            at = child(place, step, ".*" if is_map else step)
            below = into_key(states, name)
            if name not in candidate:
                self.absent(OutcomeClass.MISSING, control[name], at, below)
            elif name not in control:
                self.absent(OutcomeClass.EXTRA, candidate[name], at, below)
            else:
                self.pair(control[name], candidate[name], at, below, depth + 1)

    def _duplicates(self, control: dict[str, Tree], candidate: dict[str, Tree], place: Place) -> None:
        if not isinstance(control, DuplicateKeys) and not isinstance(candidate, DuplicateKeys):
            return
        if identical(control, candidate):
            return
        sides = [", ".join(side.repeated()) if isinstance(side, DuplicateKeys) else "" for side in (control, candidate)]
        self.add(OutcomeClass.DUPLICATE_KEY, place, *(f"keys twice: {names}" if names else "" for names in sides))

    def _arrays(
        self, control: Sequence[Tree], candidate: Sequence[Tree], place: Place, states: RuleStates, depth: int
    ) -> None:
        below = into_element(states)
        found = arrays.align(self, control, candidate, array_rule(states) if states else None, below, depth)
        for repeated in found.repeated:
            self.add(OutcomeClass.DUPLICATE_KEY, place, *repeated)
        if found.order_differs:
            self.add(OutcomeClass.ORDER, place, preview(control), preview(candidate))
        for link in found.links:
            at = child(place, link.label, "[]")
            if link.candidate is None:
                assert link.control is not None
                self.absent(OutcomeClass.MISSING, control[link.control], at, below)
            elif link.control is None:
                self.absent(OutcomeClass.EXTRA, candidate[link.candidate], at, below)
            else:
                self.pair(control[link.control], candidate[link.candidate], at, below, depth + 1)


def _scalar_class(mask: Mask | None, control: Tree, candidate: Tree) -> OutcomeClass:
    """`Shape` where a shape is declared, the control has it and the candidate lost it."""
    if mask is not None and mask.kind is MaskKind.SHAPE:
        has_shape = shape_test(mask.shape)
        if has_shape(control) and not has_shape(candidate):
            return OutcomeClass.SHAPE
    return OutcomeClass.VALUE


def reached(tree: Tree, rules: CompareRules, *, max_steps: int = 20_000) -> frozenset[str]:
    """Ids of the masks whose path exists in this body (within the budget)."""
    met: set[str] = set()
    todo: list[tuple[Tree, RuleStates]] = [(tree, rules.start)]
    while todo and max_steps > 0:
        node, states = todo.pop()
        max_steps -= 1
        if not states:
            continue
        met.update(mask.id for state in states for mask in state.masks)
        if isinstance(node, dict):
            todo.extend((value, into_key(states, name)) for name, value in node.items())
        elif isinstance(node, list):
            below = into_element(states)
            todo.extend((value, below) for value in node)
    return frozenset(met)
