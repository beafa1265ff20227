import json
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.compare import ArrayOrder, ArrayRule, CompareRules, Mask, MaskKind, Verdict, compare, whole_answer
from router.compare.assignment import assign
from router.compare.errors import BadCompareRules
from router.compare.paths import parse_pattern
from router.compare.rules_file import compare_rules, in_force
from router.compare.tree import NonFinite, identical, parse, preview

SCALARS = st.none() | st.booleans() | st.integers() | st.decimals(allow_nan=False, allow_infinity=False) | st.text()
TREES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4), max_leaves=20
)


def encoded(tree, **options):
    class Exact(json.JSONEncoder):
        def default(self, value):
            return float(value)

    return json.dumps(tree, cls=Exact, **options).encode()


@given(TREES)
def test_a_body_equals_itself_however_it_is_written(tree):
    pretty, compact = encoded(tree, indent=2), encoded(tree, separators=(",", ":"), sort_keys=True)
    assert compare(whole_answer(200, pretty), whole_answer(200, compact)).verdict is Verdict.MATCH


@given(TREES, TREES)
def test_two_bodies_match_exactly_when_their_trees_are_equal(left, right):
    a, b = encoded(left), encoded(right)
    comparison = compare(whole_answer(200, a), whole_answer(200, b))
    if identical(parse(a), parse(b)):
        assert comparison.verdict is Verdict.MATCH
    elif comparison.verdict is Verdict.MATCH:  # numbers are equal by value: 1 and 1.0
        assert b"." in a + b or b"e" in a + b
    else:
        assert comparison.outcomes


@given(TREES, TREES)
def test_comparing_the_other_way_round_gives_the_same_verdict(left, right):
    a, b = whole_answer(200, encoded(left)), whole_answer(200, encoded(right))
    assert compare(a, b).verdict is compare(b, a).verdict


@given(st.lists(TREES, max_size=8), st.randoms())
def test_an_unordered_array_equals_every_shuffle_of_itself(items, random):
    shuffled = items[:]
    random.shuffle(shuffled)
    rules = CompareRules(arrays=(ArrayRule(path="$", order=ArrayOrder.UNORDERED),))
    pair = (whole_answer(200, encoded(items)), whole_answer(200, encoded(shuffled)))
    assert compare(*pair, rules).verdict is Verdict.MATCH


@given(st.lists(st.lists(st.integers(0, 20), min_size=4, max_size=4), min_size=1, max_size=4))
def test_assignment_finds_the_least_cost(costs):
    from itertools import permutations

    columns = assign(costs)
    assert len(set(columns)) == len(costs)
    total = sum(line[column] for line, column in zip(costs, columns, strict=True))
    assert total == min(sum(costs[r][c] for r, c in enumerate(p)) for p in permutations(range(4), len(costs)))


def test_true_is_not_one_and_false_is_not_zero():
    comparison = compare(whole_answer(200, b'{"a":true,"b":0}'), whole_answer(200, b'{"a":1,"b":false}'))
    assert [outcome.key for outcome in comparison.outcomes] == ["a.Type", "b.Type"]


def test_a_body_nested_beyond_the_limit_is_partial_never_a_match():
    deep = b"[" * 400 + b"%d" + b"]" * 400
    comparison = compare(whole_answer(200, deep % 1), whole_answer(200, deep % 2))
    assert comparison.verdict is Verdict.PARTIAL and comparison.truncated


def test_absurd_nesting_falls_back_to_bytes():
    deep = b"[" * 100_000
    comparison = compare(whole_answer(200, deep + b"1"), whole_answer(200, deep + b"2"))
    assert [outcome.key for outcome in comparison.outcomes] == ["@body.Value"]


def test_an_exhausted_budget_without_a_difference_is_partial():
    rules = CompareRules(max_steps=3)
    comparison = compare(whole_answer(200, b"[1,2,3,4]"), whole_answer(200, b"[1,2,3,5]"), rules)
    assert comparison.verdict is Verdict.PARTIAL and comparison.truncated


def test_numbers_stay_exact():
    assert parse(b"[1, 1.10, NaN, -Infinity]") == [1, Decimal("1.10"), NonFinite.NAN, NonFinite.NEGATIVE_INFINITY]
    huge = b"9" * 5000
    assert compare(whole_answer(200, huge), whole_answer(200, huge[:-1] + b"8")).verdict is Verdict.MISMATCH


def test_utf_16_and_a_byte_order_mark_are_read():
    text = '{"a":"ü"}'
    for other in (text.encode("utf-16"), text.encode("utf-8-sig"), text.encode("utf-32-le")):
        assert compare(whole_answer(200, text.encode()), whole_answer(200, other)).verdict is Verdict.MATCH


def test_previews_are_short():
    assert len(preview({"a": ["x" * 500] * 100})) <= 160
    assert preview({"a": [1, True, None]}) == '{"a": [1, true, null]}'


@pytest.mark.parametrize(
    ("pattern", "steps"),
    [
        ("$", ()),
        ("items[].price", (".items", "[]", ".price")),
        ("[].id", ("[]", ".id")),
        ("**.id", ("**", ".id")),
        ('prices.*["odd.key"]', (".prices", "*", ".odd.key")),
    ],
)
def test_path_patterns(pattern, steps):
    assert parse_pattern(pattern) == steps


@pytest.mark.parametrize("pattern", ["", ".a", "a[", "a[0]", "a..b", 'a["b'])
def test_bad_path_patterns_are_refused(pattern):
    with pytest.raises(BadCompareRules):
        parse_pattern(pattern)


def test_of_two_masks_the_stronger_is_in_force():
    masks = (Mask(path="**.id", kind=MaskKind.IGNORE), Mask(path="a.id", kind=MaskKind.SHAPE, shape="uuid"))
    pair = (whole_answer(200, b'{"a":{"id":1},"b":{"id":1}}'), whole_answer(200, b'{"a":{"id":2},"b":{"id":2}}'))
    comparison = compare(*pair, CompareRules(masks=masks))
    assert [outcome.key for outcome in comparison.outcomes] == ["a.id.Value"]
    assert comparison.excused == ("ignore **.id",)


def test_a_rule_file_is_read_into_rules():
    raw = {
        "masks": [
            {"path": "items[].id", "kind": "shape", "shape": "uuid", "endpoint": "GET /x"},
            {"path": "total", "kind": "number", "abs_tol": 0.01},
            {"path": "gone", "kind": "ignore", "expires": "2026-01-31"},
        ],
        "arrays": [{"path": "items", "order": "unordered", "key": "id"}],
        "headers": {"X-Build": "present"},
        "null_is_missing": True,
    }
    rules = compare_rules(raw, where="rules.yaml")
    assert rules.arrays[0].key == ("id",)
    assert rules.masks[1].abs_tol == Decimal("0.01")
    assert [mask.path for mask in rules.for_endpoint("GET /y").masks] == ["total", "gone"]
    from datetime import date

    kept, expired = in_force(rules, date(2026, 2, 1))
    assert [mask.path for mask in expired] == ["gone"] and len(kept.masks) == 2
    assert in_force(rules, date(2026, 1, 31)) == (rules, ())


@pytest.mark.parametrize(
    ("raw", "named"),
    [
        ({"masks": [{"path": "a", "kind": "hide"}]}, "masks.0.kind"),
        ({"masks": [{"path": "a", "kind": "shape", "shape": "blob"}]}, "blob"),
        ({"masks": [{"path": "a", "kind": "pattern", "pattern": "("}]}, "pattern"),
        ({"arrays": [{"path": "a[0]"}]}, "a[0]"),
        ({"headers": {"x": "maybe"}}, "headers.x"),
        ({"colour": 1}, "colour"),
    ],
)
def test_a_bad_rule_file_names_the_key(raw, named):
    with pytest.raises(BadCompareRules) as raised:
        compare_rules(raw, where="rules.yaml")
    assert named in raised.value.thing
