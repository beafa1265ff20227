"""Which element of one array belongs to which of the other, within the walk's budget.

In order of trust: declared key, inferred key, equal canonical forms, least distance among what is left, position.
"""

from collections import Counter, defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING

from router.compare.assignment import assign
from router.compare.canonical import canonical
from router.compare.masks import excuses_absence
from router.compare.rules import ArrayOrder, ArrayRule, RuleStates, into_key, mask_in_force
from router.compare.tree import Tree, preview

if TYPE_CHECKING:
    from router.compare.walk import Walk

INFERRED_KEYS = ("id", "uuid", "key", "name")
MIN_KEY_OVERLAP = 0.9
_LABEL_CHARS = 60

Identity = tuple[tuple[str, Hashable], ...]
"""The canonical forms of an element's key fields."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Link:
    """Indexes of two elements that belong together; None where there is no partner. `label` is the path step."""

    label: str
    control: int | None
    candidate: int | None


@dataclass(kw_only=True, slots=True)
class Alignment:
    """Elements still to be compared (equal ones are left out), and what is wrong with the array as a whole."""

    links: list[Link] = field(default_factory=list)
    order_differs: bool = False
    repeated: list[tuple[str, str]] = field(default_factory=list)


def align(
    walk: "Walk",
    control: Sequence[Tree],
    candidate: Sequence[Tree],
    rule: ArrayRule | None,
    below: RuleStates,
    depth: int,
) -> Alignment:
    """Align two arrays; `below` are the rule states of their elements. Marks the budget truncated where it gives up."""
    is_ordered = rule is None or rule.order is ArrayOrder.ORDERED
    key = rule.key if rule is not None and rule.key else _inferred_key(control, candidate)
    if key:
        return _by_key(control, candidate, key, is_ordered=is_ordered)
    return _by_content(walk, control, candidate, below, depth, is_ordered=is_ordered)


def _inferred_key(control: Sequence[Tree], candidate: Sequence[Tree]) -> tuple[str, ...]:
    if (
        not control
        or not candidate
        or not all(isinstance(item, dict) for side in (control, candidate) for item in side)
    ):
        return ()
    for name in INFERRED_KEYS:
        left, right = _distinct(control, name), _distinct(candidate, name)
        if left and right and len(left & right) >= MIN_KEY_OVERLAP * max(len(left), len(right)):
            return (name,)
    return ()


def _distinct(items: Sequence[dict[str, Tree]], name: str) -> set[Hashable]:
    """The values of `name`, if all items have one and no two have the same; else an empty set."""
    found = [item.get(name) for item in items]
    values: set[Hashable] = {(type(value), value) for value in found if isinstance(value, str | int)}
    return values if len(values) == len(items) else set()


def _by_key(control: Sequence[Tree], candidate: Sequence[Tree], key: tuple[str, ...], *, is_ordered: bool) -> Alignment:
    left, right = _groups(control, key), _groups(candidate, key)
    found = Alignment()
    for identity in dict.fromkeys((*left, *right)):
        here, there = left.get(identity, []), right.get(identity, [])
        label = _label(key, identity)
        if len(here) != len(there) and max(len(here), len(there)) > 1:
            found.repeated.append((f"{len(here)} of {label}", f"{len(there)} of {label}"))
        for position in range(max(len(here), len(there))):
            found.links.append(
                Link(
                    label=label,
                    control=here[position] if position < len(here) else None,
                    candidate=there[position] if position < len(there) else None,
                )
            )
    found.order_differs = is_ordered and not _is_rising(
        [link.candidate for link in sorted(found.links, key=_control_index) if link.control is not None]
    )
    return found


def _control_index(link: Link) -> int:
    return -1 if link.control is None else link.control


def _groups(items: Sequence[Tree], key: tuple[str, ...]) -> dict[Identity, list[int]]:
    groups: dict[Identity, list[int]] = defaultdict(list)
    for index, item in enumerate(items):
        values = (item.get(name) if isinstance(item, dict) else None for name in key)
        groups[tuple(canonical(value) for value in values)].append(index)
    return groups


def _label(key: tuple[str, ...], identity: Identity) -> str:
    parts = []
    for name, (_, value) in zip(key, identity, strict=True):
        text = "…" if isinstance(value, tuple | frozenset) else value if isinstance(value, str) else preview(value)
        parts.append(f"{name}={text}"[:_LABEL_CHARS])
    return f"[{','.join(parts)}]"


def _is_rising(positions: Sequence[int | None]) -> bool:
    present = [position for position in positions if position is not None]
    return all(before < after for before, after in pairwise(present))


def _by_content(
    walk: "Walk", control: Sequence[Tree], candidate: Sequence[Tree], below: RuleStates, depth: int, *, is_ordered: bool
) -> Alignment:
    budget = walk.budget
    if not budget.spend(len(control) + len(candidate)):
        return Alignment()
    left = [canonical(item, below, walk.rules, budget) for item in control]
    right = [canonical(item, below, walk.rules, budget) for item in candidate]
    partners = _cancel(left, right)
    found = Alignment(order_differs=is_ordered and not _is_rising([partners.get(index) for index in range(len(left))]))
    taken = set(partners.values())
    rest_left = [index for index in range(len(left)) if index not in partners]
    rest_right = [index for index in range(len(right)) if index not in taken]
    found.links = _pair_rest(walk, control, candidate, rest_left, rest_right, below, depth)
    return found


def _cancel(left: Sequence[Hashable], right: Sequence[Hashable]) -> dict[int, int]:
    """Equal elements, each used once: first of the control with first of the candidate."""
    waiting: dict[Hashable, list[int]] = defaultdict(list)
    for index in reversed(range(len(right))):
        waiting[right[index]].append(index)
    partners: dict[int, int] = {}
    for index, form in enumerate(left):
        if waiting.get(form):
            partners[index] = waiting[form].pop()
    return partners


def _pair_rest(
    walk: "Walk",
    control: Sequence[Tree],
    candidate: Sequence[Tree],
    left: list[int],
    right: list[int],
    below: RuleStates,
    depth: int,
) -> list[Link]:
    limit = walk.rules.max_assignment
    if not left or not right:
        pairs: list[tuple[int | None, int | None]] = []
    elif len(left) <= limit and len(right) <= limit:
        pairs = _nearest(walk, control, candidate, left, right, below, depth)
    else:
        walk.budget.truncated = True
        pairs = list(zip(left, right, strict=False))
    used = Counter(index for _, index in pairs)
    done = {index for index, _ in pairs}
    pairs += [(index, None) for index in left if index not in done]
    pairs += [(None, index) for index in right if index not in used]
    return [
        Link(label=f"[{here if here is not None else there}]", control=here, candidate=there) for here, there in pairs
    ]


def _nearest(
    walk: "Walk",
    control: Sequence[Tree],
    candidate: Sequence[Tree],
    left: list[int],
    right: list[int],
    below: RuleStates,
    depth: int,
) -> list[tuple[int | None, int | None]]:
    """Pairs of least total distance; ties go to neighbours in position."""
    if len(left) == len(right) == 1:
        return [(left[0], right[0])]
    swapped = len(left) > len(right)
    rows, columns = (right, left) if swapped else (left, right)
    costs = []
    for row in rows:
        line = []
        for column in columns:
            here, there = (column, row) if swapped else (row, column)
            far = _distance(walk, control[here], candidate[there], below, depth)
            line.append(far + abs(here - there) / 1e6)
        costs.append(line)
    if not walk.budget.spend(len(rows) * len(columns)):
        return list(zip(left, right, strict=False))
    paired = assign(costs)
    return [(columns[paired[at]], row) if swapped else (row, columns[paired[at]]) for at, row in enumerate(rows)]


def _distance(walk: "Walk", control: Tree, candidate: Tree, below: RuleStates, depth: int) -> float:
    """Share of top-level fields that differ, from 0 to 1; for two that are not both objects, 0 or 1."""
    if not isinstance(control, dict) or not isinstance(candidate, dict):
        same_type = type(control) is type(candidate)
        return 0.0 if walk.differs(control, candidate, below, depth + 1) == 0 else 0.9 if same_type else 1.0
    names = control.keys() | candidate.keys()
    unequal = 0
    for name in names:
        here, there = control.get(name), candidate.get(name)
        walk.budget.spend()
        if (name in control) != (name in candidate):
            unequal += bool(_absence_counts(walk, here if name in control else there, into_key(below, name)))
        elif (type(here), here) != (type(there), there):
            unequal += bool(walk.differs(here, there, into_key(below, name), depth + 2))
    return unequal / max(1, len(names))


def _absence_counts(walk: "Walk", value: Tree, states: RuleStates) -> bool:
    """Whether it is a difference that only one side has `value`."""
    mask = mask_in_force(states)
    return not ((mask is not None and excuses_absence(mask)) or (value is None and walk.rules.null_is_missing))
