"""Hashable stand-ins: equal for values that the rules hold equal, as far as that can be said of one value alone."""

from collections import Counter
from collections.abc import Hashable
from typing import TYPE_CHECKING

from router.compare.masks import MaskKind, canonical_under
from router.compare.rules import ArrayOrder, CompareRules, RuleStates, array_rule, into_element, into_key, mask_in_force
from router.compare.tree import Kind, NonFinite, Tree, kind_of

if TYPE_CHECKING:
    from router.compare.walk import Budget

_PLAIN_RULES = CompareRules()


def canonical(
    node: Tree, states: RuleStates = (), rules: CompareRules = _PLAIN_RULES, budget: "Budget | None" = None
) -> tuple[str, Hashable]:
    """(kind, content) of a node. Numbers are equal by value unless `strict_numbers`; tolerances are not applied.

    Once the budget is spent every remaining node gets a form of its own, so that nothing is held equal unseen.
    """
    if budget is not None and not budget.spend():
        return ("unseen", id(node))
    mask = mask_in_force(states) if states else None
    if mask is not None:
        masked = canonical_under(mask, node)
        if masked is not None:
            return masked
    kind = kind_of(node)
    if kind is Kind.OBJECT:
        return (kind, _fields(node, states, rules, budget))
    if kind is Kind.ARRAY:
        return (kind, _elements(node, states, rules, budget))
    if kind is Kind.NUMBER and rules.strict_numbers and not isinstance(node, NonFinite):
        return (kind, (type(node).__name__, node))
    return (kind, node)


def _fields(node: dict[str, Tree], states: RuleStates, rules: CompareRules, budget: "Budget | None") -> Hashable:
    fields = []
    for name, value in node.items():
        if value is None and rules.null_is_missing:
            continue
        below = into_key(states, name) if states else ()
        mask = mask_in_force(below) if below else None
        if mask is None or mask.kind is not MaskKind.IGNORE:
            fields.append((name, canonical(value, below, rules, budget)))
    return frozenset(fields)


def _elements(node: list[Tree], states: RuleStates, rules: CompareRules, budget: "Budget | None") -> Hashable:
    below = into_element(states)
    forms = [canonical(item, below, rules, budget) for item in node]
    rule = array_rule(states) if states else None
    if rule is not None and rule.order is ArrayOrder.UNORDERED:
        return frozenset(Counter(forms).items())
    return tuple(forms)
