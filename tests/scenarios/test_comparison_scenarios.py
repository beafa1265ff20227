"""X1-X37: what a comparison must say."""

import gzip
import json
import zlib
from decimal import Decimal

import brotli
import pytest

from router.compare import (
    Answer,
    ArrayOrder,
    ArrayRule,
    CompareRules,
    HeaderPolicy,
    Mask,
    MaskKind,
    Verdict,
    compare,
    whole_answer,
)
from router.compare.masks import dead
from router.compare.tree import parse
from router.compare.walk import reached

pytestmark = pytest.mark.scenario
JSON = ("content-type", "application/json")


def answer(body, *headers, status=200, method="GET", **fields):
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return whole_answer(status, raw, (JSON, *headers), method=method, **fields)


def keys(left, right, **rules):
    left, right = (side if isinstance(side, Answer) else answer(side) for side in (left, right))
    return [outcome.key for outcome in compare(left, right, CompareRules(**rules)).outcomes]


def array(order=ArrayOrder.ORDERED, key=(), path="$"):
    return {"arrays": (ArrayRule(path=path, order=order, key=key),)}


def mask(path, kind, **fields):
    return {"masks": (Mask(path=path, kind=kind, **fields),)}


def test_X01_identical_arrays_do_not_differ():
    assert keys([1, [2], {"a": 3}], [1, [2], {"a": 3}]) == []


def test_X02_a_reversed_array_is_one_order_difference_or_none():
    assert keys([1, 2, 3], [3, 2, 1], **array()) == ["$.Order"]
    assert keys([1, 2, 3], [3, 2, 1], **array(ArrayOrder.UNORDERED)) == []


def test_X03_an_unordered_array_is_a_multiset():
    assert keys([1, 1, 2], [1, 2, 2], **array(ArrayOrder.UNORDERED)) == ["[].Value"]


def test_X04_one_changed_field_among_200_objects_is_one_difference():
    left = {"items": [{"id": n, "price": n} for n in range(200)]}
    right = {"items": [{"id": n, "price": 0 if n == 42 else n} for n in reversed(range(200))]}
    comparison = compare(answer(left), answer(right), CompareRules(**array(ArrayOrder.UNORDERED, path="items")))
    assert [(o.at, o.key) for o in comparison.outcomes] == [("items[id=42].price", "items[].price.Value")]


def test_X04_without_a_key_too():
    left = [{"a": n, "b": n, "c": 1} for n in range(200)]
    right = [{"a": n, "b": n, "c": 2 if n == 42 else 1} for n in range(200)]
    comparison = compare(answer(left), answer(right))
    assert [(o.at, o.key) for o in comparison.outcomes] == [("[42].c", "[].c.Value")]


def test_X05_a_repeated_key_is_named_and_the_rest_still_compared():
    left = [{"id": 1, "v": "a"}, {"id": 2, "v": "b"}]
    right = [{"id": 1, "v": "a"}, {"id": 1, "v": "a"}, {"id": 2, "v": "X"}]
    found = keys(left, right, **array(key=("id",)))
    assert found == ["$.DuplicateKey", "[].Extra", "[].v.Value"]


def test_X06_5000_different_objects_end_within_the_budget():
    left = [{"a": n, "b": "left"} for n in range(5000)]
    right = [{"a": -n, "b": "right"} for n in range(5000)]
    comparison = compare(answer(left), answer(right), CompareRules(**array(ArrayOrder.UNORDERED)))
    assert comparison.verdict is Verdict.MISMATCH and comparison.truncated
    assert len(comparison.outcomes) <= CompareRules().max_outcomes


def test_X07_a_loose_element_does_not_take_the_partner_of_a_strict_one():
    rules = CompareRules(
        masks=(Mask(path="[].b", kind=MaskKind.IGNORE),),
        arrays=(ArrayRule(path="$", order=ArrayOrder.UNORDERED),),
    )
    pair = (answer([{"a": 1}, {"a": 1, "b": 2}]), answer([{"a": 1, "b": 3}, {"a": 1}]))
    assert compare(*pair, rules).verdict is Verdict.MATCH


def test_X07_under_a_tolerance_too():
    rules = CompareRules(
        masks=(Mask(path="[].x", kind=MaskKind.NUMBER, abs_tol=Decimal(1)),),
        arrays=(ArrayRule(path="$", order=ArrayOrder.UNORDERED),),
    )
    assert compare(answer([{"x": 1}, {"x": 2}]), answer([{"x": 3}, {"x": 1.5}]), rules).verdict is Verdict.MATCH


def test_X08_one_and_one_point_zero_are_equal_unless_strict_and_never_the_text():
    one, point = answer(b"[1]"), answer(b"[1.0]")
    assert keys(one, point) == []
    assert keys(one, point, strict_numbers=True) == ["[].Type"]
    assert keys(one, answer(b'["1"]')) == ["[].Type"]


def test_X09_large_integers_do_not_pass_through_floats():
    assert keys({"n": 9007199254740993}, {"n": 9007199254740992}) == ["n.Value"]


def test_X10_tolerance_and_numbers_that_are_none():
    tolerant = mask("x", MaskKind.NUMBER, abs_tol=Decimal("1e-9"))
    assert keys({"x": 0.1 + 0.2}, {"x": 0.3}, **tolerant) == []
    assert keys({"x": 0.1 + 0.2}, {"x": 0.3}) == ["x.Value"]
    assert keys(answer(b'{"x":NaN}'), answer(b'{ "x":NaN}'), **tolerant) == []
    assert keys(answer(b'{"x":NaN}'), answer(b'{"x":Infinity}'), **tolerant) == ["x.Value"]
    assert keys(answer(b'{"x":1e999999}'), answer(b'{"x":1}'), **tolerant) == ["x.Value"]


def test_X11_a_key_that_comes_twice_is_reported():
    assert keys(answer(b'{"a":1,"a":2}'), answer(b'{"a":2}')) == ["$.DuplicateKey"]


def test_X12_null_missing_empty_text_and_empty_list_are_four_things():
    values = [{"a": None}, {}, {"a": ""}, {"a": []}]
    for left in values:
        for right in values:
            assert bool(keys(left, right)) == (left is not right)
    assert keys({"a": None}, {}) == ["a.Missing"]
    assert keys({"a": None}, {}, null_is_missing=True) == []
    assert keys({"a": None}, {"a": ""}, null_is_missing=True) == ["a.Type"]
    assert keys({"a": None}, {"a": []}, null_is_empty=True) == []


def test_X13_instants_are_equal_only_under_a_time_rule():
    left, same = {"t": "2024-05-01T10:00:00Z"}, {"t": "2024-05-01T10:00:00.000+00:00"}
    assert keys(left, same) == ["t.Value"]
    two_seconds = mask("t", MaskKind.TIME, seconds=2)
    assert keys(left, same, **two_seconds) == []
    assert keys(left, {"t": "2024-05-01T10:00:01.900Z"}, **two_seconds) == []
    assert keys(left, {"t": "2024-05-01T10:00:02.100Z"}, **two_seconds) == ["t.Value"]


def test_X14_a_wrong_time_zone_is_a_difference():
    utc, local = {"t": "2024-05-01T10:00:00Z"}, {"t": "2024-05-01T11:00:00Z"}
    assert keys(utc, local, **mask("t", MaskKind.TIME, seconds=2)) == ["t.Value"]


UUIDS = ("11111111-1111-4111-8111-111111111111", "22222222-2222-4222-8222-222222222222")


@pytest.mark.parametrize(
    ("other", "expected"), [(UUIDS[1], []), (7, ["id.Type"]), (None, ["id.Type"]), ("abc", ["id.Shape"])]
)
def test_X15_a_shape_forgives_values_not_other_shapes(other, expected):
    assert keys({"id": UUIDS[0]}, {"id": other}, **mask("id", MaskKind.SHAPE, shape="uuid")) == expected


def test_X16_a_rule_that_matches_nothing_any_more_is_dead():
    masks = (Mask(path="items[].id", kind=MaskKind.IGNORE), Mask(path="gone.away", kind=MaskKind.IGNORE))
    seen = {"items": [{"id": 1}]}
    counts = dict.fromkeys(reached(parse(json.dumps(seen).encode()), CompareRules(masks=masks)), 100)
    assert dead(masks, counts, 100, at_least=50) == masks[1:]
    assert dead(masks, counts, 10, at_least=50) == ()


def test_X17_a_header_rule_matches_the_whole_name():
    left = answer({}, ("date", "a"), ("x-candidate-id", "1"), ("x-validate-token", "1"))
    right = answer({}, ("date", "b"), ("x-candidate-id", "2"), ("x-validate-token", "2"))
    found = keys(left, right, headers={"date": HeaderPolicy.IGNORE})
    assert found == ["@header.x-candidate-id.Value", "@header.x-validate-token.Value"]


def test_X18_a_guarded_value_may_change_but_not_vanish_or_become_an_object():
    guarded = mask("status", MaskKind.PATTERN, pattern="^(ok|pending)$")
    assert keys({"status": "ok"}, {"status": "pending"}, **guarded) == []
    assert keys({"status": "ok"}, {"status": "failed"}, **guarded) == ["status.Value"]
    assert keys({"status": "ok"}, {}, **guarded) == ["status.Missing"]
    assert keys({"status": "ok"}, {"status": {"code": "ok"}}, **guarded) == ["status.Type"]


def test_X19_a_map_with_ids_for_keys_counts_as_one_path():
    left = {"prices": {f"{n}": 1 for n in range(60)}}
    right = {"prices": {f"{n}": 2 for n in range(60)}}
    assert set(keys(left, right)) == {"prices.*.Value"}
    many = {"by_user": {f"user_{chr(97 + n // 26)}{chr(97 + n % 26)}": n for n in range(51)}}
    assert set(keys(many, {"by_user": dict.fromkeys(many["by_user"], -1)})) == {"by_user.*.Value"}


def test_X20_formatting_key_order_and_length_do_not_differ():
    value = {"a": 1, "b": [1, 2]}
    pretty = json.dumps(value, indent=2).encode()
    compact = b'{"b":[1,2],"a":1}'
    left = answer(pretty, ("content-length", str(len(pretty))))
    right = answer(compact, ("content-length", str(len(compact))))
    assert compare(left, right).verdict is Verdict.MATCH


def test_X21_a_wrong_content_type_is_one_difference_and_the_body_still_compared():
    left = whole_answer(200, b'{"a": 1}', (JSON,))
    right = whole_answer(200, b'{"a":1}', (("content-type", "text/plain"),))
    assert keys(left, right) == ["@header.content-type.Value"]
    changed = whole_answer(200, b'{"a":2}', (("content-type", "text/plain"),))
    assert keys(left, changed) == ["@header.content-type.Value", "a.Value"]


@pytest.mark.parametrize(
    ("name", "encode"), [("gzip", gzip.compress), ("deflate", zlib.compress), ("br", brotli.compress)]
)
def test_X22_bodies_are_compared_decoded(name, encode):
    plain = b'{"a":1}'
    left = answer(encode(plain), ("content-encoding", name))
    assert keys(left, answer(plain)) == ["@header.content-encoding.Missing"]
    assert keys(left, answer(plain), headers={"content-encoding": HeaderPolicy.IGNORE}) == []
    other = answer(b'{"a":2}')
    assert keys(left, other, headers={"content-encoding": HeaderPolicy.IGNORE}) == ["a.Value"]


def test_X22_a_compressed_bomb_is_partial():
    bomb = answer(gzip.compress(b"0" * (9 << 20)), ("content-encoding", "gzip"))
    assert compare(bomb, answer(b"{}", ("content-encoding", "gzip"))).verdict is Verdict.PARTIAL


def test_X23_binary_bodies_are_compared_as_bytes():
    png = (("content-type", "image/png"),)
    left, right = b"\x89PNG\r\n\x00\xff1", b"\x89PNG\r\n\x00\xff2"
    assert keys(whole_answer(200, left, png), whole_answer(200, left, png)) == []
    assert keys(whole_answer(200, left, png), whole_answer(200, right, png)) == ["@body.Value"]
    assert keys(whole_answer(200, left, png), whole_answer(200, right + b"0", png)) == ["@body.Size"]


def cut(total, digest, *headers):
    return Answer(status=200, headers=(JSON, *headers), body=b"x", body_bytes=total, body_digest=digest)


def test_X24_a_body_over_the_limit_is_never_a_match():
    assert compare(cut(9, "a"), cut(9, "a")).verdict is Verdict.PARTIAL
    assert keys(cut(9, "a"), cut(9, "a")) == []
    assert keys(cut(9, "a"), cut(9, "b")) == ["@body.Value"]
    assert keys(cut(9, "a"), cut(8, "b")) == ["@body.Size"]
    assert compare(cut(9, "a"), cut(9, "b")).verdict is Verdict.PARTIAL
    assert compare(cut(9, "a"), cut(9, "a", ("x-new", "1"))).verdict is Verdict.MISMATCH


def test_X25_two_server_errors_are_a_class_of_their_own():
    assert compare(answer({"e": 1}, status=500), answer({"e": 2}, status=500)).verdict is Verdict.BOTH_ERROR


@pytest.mark.parametrize(("control", "candidate"), [(404, 200), (200, 404)])
def test_X26_a_different_status_shows_in_both_directions(control, candidate):
    comparison = compare(answer({}, status=control), answer({}, status=candidate))
    assert comparison.verdict is Verdict.MISMATCH
    (outcome,) = comparison.outcomes
    assert (outcome.key, outcome.control, outcome.candidate) == ("@status.Value", str(control), str(candidate))


@pytest.mark.parametrize("failure", ["timeout", "refused", "reset", "truncated"])
def test_X27_a_candidate_without_an_answer_has_failed(failure):
    assert compare(answer({}), Answer(failure=failure)).verdict is Verdict.CANDIDATE_FAILED


def test_X27_a_server_error_of_the_candidate_alone_is_its_failure_and_shows():
    comparison = compare(answer({}), answer({}, status=503))
    assert comparison.verdict is Verdict.CANDIDATE_FAILED
    assert [outcome.key for outcome in comparison.outcomes] == ["@status.Value"]


def test_X29_a_failed_control_is_not_the_candidates_fault():
    assert compare(answer({}, status=502), answer({})).verdict is Verdict.LEGACY_FAILED
    assert compare(Answer(failure="refused"), answer({})).verdict is Verdict.LEGACY_FAILED


def test_X31_cookies_are_compared_by_name_and_attribute():
    def cookies(*lines):
        return answer({}, *(("set-cookie", line) for line in lines))

    session = "sid=0123456789abcdef01; Path=/; Secure; HttpOnly; Expires=Wed, 21 Oct 2026 07:28:00 GMT"
    renewed = "sid=fedcba9876543210ff; path=/; HttpOnly; Secure; Expires=Thu, 22 Oct 2026 07:28:00 GMT"
    assert keys(cookies(session, "a=1"), cookies("a=1", renewed)) == []
    assert keys(cookies(session), cookies("sid=fedcba9876543210ff; Path=/; Secure; Expires=x")) == [
        "@header.set-cookie.sid.httponly.Missing"
    ]
    assert keys(cookies("theme=dark"), cookies("theme=light")) == ["@header.set-cookie.theme.Value"]
    assert keys(cookies("a=1", "a=1"), cookies("a=1")) == ["@header.set-cookie.a.Missing"]
    shown = compare(cookies(session), cookies()).outcomes[0]
    assert "0123456789abcdef01" not in shown.control


def test_X32_a_header_that_is_always_noise_must_still_be_there():
    left, right = answer({}, ("x-request-id", "a")), answer({}, ("x-request-id", "b"))
    assert keys(left, right) == []
    assert keys(left, answer({})) == ["@header.x-request-id.Missing"]


def test_X33_a_date_never_flags():
    assert keys(answer({}, ("date", "one second")), answer({}, ("date", "the next"))) == []


@pytest.mark.parametrize(("status", "method"), [(204, "GET"), (304, "GET"), (200, "HEAD")])
def test_X34_a_body_where_none_belongs_is_a_difference(status, method):
    empty = answer(b"", status=status, method=method)
    assert keys(empty, answer(b'{"a":1}', status=status, method=method)) == ["@body.Extra"]
    assert keys(answer(b"null", status=status, method=method), empty) == ["@body.Missing"]


def test_X35_redirects_are_compared_without_the_upstreams_own_host():
    def redirect(target, origin):
        return answer(b"", ("location", target), status=302, origins=(origin,))

    left = redirect("http://legacy:1/login?next=/", "http://legacy:1")
    assert keys(left, redirect("http://service:2/login?next=/", "http://service:2")) == []
    assert keys(left, redirect("/login?next=/", "http://service:2")) == []
    assert keys(left, redirect("/welcome", "http://service:2")) == ["@header.location.Value"]
    assert keys(left, redirect("http://evil/login?next=/", "http://service:2")) == ["@header.location.Value"]
