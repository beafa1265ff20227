"""Which endpoint ran which transaction, and how endpoints are named."""

import json

import pytest

from migration_plans.errors import LogUnreadable
from migration_plans.gather.attribution import attribute
from migration_plans.gather.log_transactions import transactions_of
from migration_plans.gather.paths import Templates, shape_of, unified
from migration_plans.gather.plays import filled, picked, plays_of
from migration_plans.gather.requests import MARKER, RecordedRequest, requests_of, trace_id
from migration_plans.gather.server_log import LogEntry
from migration_plans.gather.shapes import Mark, Shapes
from migration_plans.gather.sql import SqlReader

TRACE = "0af7651916cd43dd8448eb211c80319c"


def seen(*statements):
    """(text, time[, application]) each a transaction of its own → what attribution is given."""
    entries = [
        LogEntry(
            severity="LOG",
            message=f"statement: {text}",
            session=str(number),
            transaction=f"1/{number + 1}",
            at=at,
            application=rest[0] if rest else "",
        )
        for number, (text, at, *rest) in enumerate(statements)
    ]
    shapes = Shapes(SqlReader())
    found = sorted(
        (one for one in map(shapes.see, transactions_of(entries)) if one is not None),
        key=lambda one: one.entry if isinstance(one, Mark) else one.first_entry,
    )
    return (
        [one for one in found if not isinstance(one, Mark)],
        [one for one in found if isinstance(one, Mark)],
    )


def asked(path, start, end, **more):
    return RecordedRequest(method=more.pop("method", "GET"), path=path, start=start, end=end, **more)


def told(attributed):
    return {
        name: (one.evidence, one.calls, sorted("".join(f"{t}:{m} " for t, m in s.accesses).strip() for s in one.shapes))
        for name, one in attributed.functionalities.items()
    }


def test_comments_name_the_endpoint():
    transactions, _ = seen(
        ("SELECT 1 FROM a /*route='%2Fa%2F%3Cint%3Aid%3E',http_method='GET'*/", 1.0),
        ("SELECT 1 FROM b /*controller='orders',action='show'*/", 2.0),
        ("SELECT 1 FROM c /*route='shop%2Fitems%2F'*/", 3.0),
        (f"SELECT 1 FROM d /*traceparent='00-{TRACE}-b7ad6b7169203331-01'*/", 4.0),
    )
    attributed = attribute(transactions, requests=[asked("/d/7", 50.0, 51.0, trace=TRACE)])
    assert told(attributed) == {
        "GET /a/{id}": ("comment", 1, ["a:R"]),
        "orders#show": ("comment", 1, ["b:R"]),
        "/shop/items/": ("comment", 1, ["c:R"]),
        "GET /d/{id}": ("trace", 1, ["d:R"]),
    }


def test_marks_of_a_serial_replay_need_no_clock():
    transactions, marks = seen(
        ("SELECT 1 FROM before", None),
        (f"/* {MARKER} r-1 begin */ SELECT 1", None),
        ("SELECT 1 FROM a", None),
        ("UPDATE b SET x = 1", None),
        (f"/* {MARKER} r-1 end */ SELECT 1", None),
        ("SELECT 1 FROM meanwhile", None),
        (f"/* {MARKER} r-2 begin */ SELECT 1", None),
        ("SELECT 1 FROM c", None),
        (f"/* {MARKER} r-2 end */ SELECT 1", None),
        (f"/* {MARKER} other-1 begin */ SELECT 1", None),
        ("SELECT 1 FROM d", None),
        (f"/* {MARKER} other-1 end */ SELECT 1", None),
    )
    requests = [asked("/a/1", 100.0, 101.0, marker="r-1"), asked("/c", 100.0, 101.0, marker="r-2")]
    assert told(attribute(transactions, marks=marks, requests=requests)) == {
        "GET /a/{id}": ("replay", 1, ["a:R", "b:W"]),
        "GET /c": ("replay", 1, ["c:R"]),
        "read before": ("shape", 1, ["before:R"]),
        "read meanwhile": ("shape", 1, ["meanwhile:R"]),
        "read d": ("shape", 1, ["d:R"]),
    }


def test_times_tell_when_requests_do_not_overlap_and_shapes_when_they_do():
    transactions, _ = seen(
        ("SELECT 1 FROM a", 1.0),
        ("SELECT 1 FROM b", 2.0),
        # Both requests run at 3.0; only /b was ever seen to read b.
        ("SELECT 2 FROM b", 3.0),
        # Nobody was ever seen to read c.
        ("SELECT 1 FROM c", 3.0),
        ("SELECT 1 FROM d", 9.0),
    )
    requests = [
        asked("/a", 0.9, 1.1),
        asked("/b", 1.9, 2.1),
        asked("/a", 2.9, 3.1),
        asked("/b", 2.9, 3.1),
    ]
    attributed = attribute(transactions, requests=requests)
    assert attributed.ambiguous == 1
    assert told(attributed) == {
        "GET /a": ("time", 2, ["a:R"]),
        "GET /b": ("time", 2, ["b:R"]),
        "read d": ("shape", 1, ["d:R"]),
    }
    assert attributed.functionalities["GET /b"].shapes.total() == 2


def test_an_endpoint_has_one_name_whatever_its_parameters_are_called():
    transactions, _ = seen(
        ("SELECT 1 FROM a", 1.0), ("SELECT 2 FROM a", 2.0), ("SELECT 3 FROM a /*route='/a/:x',method='GET'*/", 3.0)
    )
    requests = [asked("/a/1", 0.9, 1.1), asked("/a/2", 1.9, 2.1, template="/a/<int:a_id>")]
    assert told(attribute(transactions, requests=requests)) == {"GET /a/{a_id}": ("comment", 2, ["a:R"])}


def test_a_stray_that_overlapped_once_is_left_out():
    statements = [("SELECT 1 FROM a", float(n)) for n in range(100)]
    requests = [asked("/a", n - 0.1, n + 0.1) for n in range(99)]
    # The request to /a at 99 was not recorded; /b happened to run then, one of its hundred.
    requests += [asked("/b", n + 0.4, n + 0.6) for n in range(99)] + [asked("/b", 98.9, 99.1)]
    transactions, _ = seen(*statements)
    attributed = attribute(transactions, requests=sorted(requests, key=lambda one: one.start))
    assert attributed.strays == 1
    assert set(attributed.functionalities) == {"GET /a"}


def test_application_names_count_only_where_they_are_routes():
    transactions, _ = seen(("SELECT 1 FROM a", 1.0, "GET /a/<int:id>"), ("UPDATE b SET x = 1", 1.0, "shop"))
    assert told(attribute(transactions)) == {
        "GET /a/{id}": ("application", 1, ["a:R"]),
        "shop: write b": ("shape", 1, ["b:W"]),
    }


def test_migrations_are_no_functionality():
    transactions, _ = seen(("ALTER TABLE a ADD x int; UPDATE a SET x = 1", 1.0), ("SELECT 1", 1.0))
    assert transactions == []


@pytest.mark.parametrize(
    ("path", "endpoint"),
    [
        ("/api/orders/12?x=1", "GET /api/orders/{id}"),
        ("/api/orders/12/lines/3/", "GET /api/orders/{id}/lines/{id}/"),
        ("/u/6f1c2b7e-7d0c-4c62-9d3a-0b7f8a2c4d11", "GET /u/{id}"),
        ("/u/5f4dcc3b5aa765d61d83", "GET /u/{id}"),
        ("/p/SKU-0012", "GET /p/{id}"),
        ("/mail/a.b@example.org", "GET /mail/{id}"),
        ("/days/2026-11-22", "GET /days/{id}"),
        ("/api/v2/order-lines", "GET /api/v2/order-lines"),
        ("/", "GET /"),
        ("//a//b?x=/1", "GET /a/b"),
        ("/shop;jsessionid=0A1B.node1/orders/7;v=1", "GET /shop/orders/{id}"),
        ("/a%2Fb/caf%C3%A9", "GET /a%2Fb/café"),
        ("http://shop.example/a/9", "GET /a/{id}"),
        ("*", "GET /*"),
    ],
)
def test_paths_become_templates(path, endpoint):
    assert Templates().endpoint("get", path) == endpoint


def test_known_templates_come_first_and_the_literal_before_the_parameter():
    templates = Templates(["GET /stock/<int:id>", "GET /stock/low", "GET /settings/{name}"])
    assert templates.endpoint("GET", "/stock/low") == "GET /stock/low"
    assert templates.endpoint("GET", "/stock/x") == "GET /stock/{id}"
    assert templates.endpoint("GET", "/settings/shop.name") == "GET /settings/{name}"
    assert templates.endpoint("PUT", "/settings/name") == "PUT /settings/name"


def test_a_place_with_very_many_words_holds_values():
    templates = Templates()
    words = [a + b for a in "abcde" for b in "vwxyz"]
    templates.learn([("GET", f"/tags/{word}") for word in words] + [("GET", f"/{word}") for word in words[:10]])
    assert templates.endpoint("GET", "/tags/av") == "GET /tags/{id}"
    assert templates.endpoint("GET", "/av") == "GET /av"


def test_keys_in_the_middle_of_a_path_are_values_and_words_met_elsewhere_are_none():
    templates = Templates()
    keys = ["2ng5iz", "opa9qe", "raoyw6", "wvuxam"]
    paths = [f"/wishlists/{key}/update/" for key in keys] + ["/wishlists/create/", "/partners/create/", "/b2b/x/"]
    templates.learn([("GET", path) for path in paths])
    assert {templates.endpoint("GET", f"/wishlists/{key}/update/") for key in keys} == {"GET /wishlists/{id}/update/"}
    assert templates.endpoint("POST", "/wishlists/unseen/add/7/") == "POST /wishlists/{id}/add/{id}/"
    assert templates.endpoint("GET", "/wishlists/create/") == "GET /wishlists/create/"
    assert templates.endpoint("GET", "/b2b/x/") == "GET /b2b/x/"
    templates.learn([("GET", f"/{word}/") for word in ("oauth2", "sha256", "users")])
    assert templates.endpoint("GET", "/sha256/") == "GET /sha256/"


def test_templates_of_all_frameworks_are_one():
    assert {unified(one) for one in ("/a/<int:b>", "/a/{b}", "/a/:b", "/a/<b>")} == {"/a/{b}"}
    assert shape_of("GET /a/{b}") == shape_of("GET /a/<int:c>") == shape_of("GET /a/:d/")


def test_an_endpoint_ends_with_a_slash_where_most_of_its_paths_do():
    templates = Templates(["GET /known/<int:id>/"])
    templates.learn([("GET", path) for path in ("/a/1", "/a/1/?x=2", "/a/2/", "/a/3/", "/b/1", "/b/2", "/b/2/", "/")])
    assert {templates.endpoint("GET", path) for path in ("/a/1", "/a/7/?x=2")} == {"GET /a/{id}/"}
    assert {templates.endpoint("GET", path) for path in ("/b/1", "/b/2/")} == {"GET /b/{id}"}
    assert templates.endpoint("GET", "/known/1") == "GET /known/{id}/"
    assert templates.endpoint("GET", "/") == "GET /"


def test_requests_of_har_and_of_lines():
    har = {
        "log": {
            "entries": [
                {
                    "startedDateTime": "2026-01-01T00:00:01.500Z",
                    "time": 250,
                    "request": {
                        "method": "get",
                        "url": "https://shop.example/a/1?b=2",
                        "headers": [{"name": "Traceparent", "value": f"00-{TRACE}-b7ad6b7169203331-01"}],
                    },
                    "response": {"status": 200},
                }
            ]
        }
    }
    (from_har,) = requests_of([json.dumps(har)], thing="x")
    assert requests_of(["\n", *json.dumps(har, indent=1).splitlines(True)], thing="x") == [from_har]
    assert (from_har.method, from_har.path, from_har.status, from_har.trace) == ("GET", "/a/1?b=2", 200, TRACE)
    assert from_har.end - from_har.start == pytest.approx(0.25)
    lines = '{"type": "start", "t": 1}\n\n{"type": "request", "t": 5.0, "ms": 500, "method": "GET", "path": "/a"}\n'
    (from_lines,) = requests_of(lines.splitlines(True), thing="x")
    assert (from_lines.start, from_lines.end) == (5.0, 5.5)


@pytest.mark.parametrize(
    "text", ['{"method": "GET"}', "[1]", "nonsense", '{"method": "GET", "path": "/", "start": "x"}']
)
def test_bad_records_are_refused_by_line(text):
    with pytest.raises(LogUnreadable, match="line 1"):
        requests_of(text.splitlines(True), thing="x")


def test_plays_fill_in_what_earlier_answers_held():
    (play,) = plays_of(
        '{"method": "post", "path": "/a/${id}?q=1", "json": {"id": "${id}", "n": "no ${id}"}}', thing="x"
    )
    assert play.template == "/a/{id}"
    assert filled(play.path, {"id": 7}, thing="x") == "/a/7?q=1"
    assert json.loads(filled(play.body, {"id": 7}, thing="x")) == {"id": 7, "n": "no 7"}
    assert picked({"json": {"items": [{"id": 3}]}}, "items.0.id") == 3
    assert picked({"json": {"items": []}}, "items.0.id") is None
    with pytest.raises(LogUnreadable, match="was not saved"):
        filled(play.path, {}, thing="request 1")
    with pytest.raises(LogUnreadable, match="line 2"):
        plays_of('{"method": "GET", "path": "/"}\n{"path": "/"}', thing="x")


def test_words_that_differ_in_their_number_only_are_values():
    templates = Templates()
    templates.learn([("PUT", f"/users/u{n}/mail") for n in range(3)] + [("GET", f"/api/v{n}/a") for n in range(5)])
    assert templates.endpoint("PUT", "/users/u7/mail") == "PUT /users/{id}/mail"
    assert templates.endpoint("PUT", "/users/me/mail") == "PUT /users/me/mail"
    assert templates.endpoint("GET", "/users/u7/mail") == "GET /users/u7/mail"
    assert templates.endpoint("GET", "/api/v2/a") == "GET /api/v2/a"


def test_head_asks_what_get_does():
    transactions, _ = seen(("SELECT 1 FROM a", 1.0), ("SELECT 2 FROM b /*route='/b/:x',method='HEAD'*/", 3.0))
    requests = [asked("/a/1", 0.9, 1.1, method="HEAD"), asked("/a/2", 5.9, 6.1)]
    assert told(attribute(transactions, requests=requests)) == {
        "GET /a/{id}": ("time", 2, ["a:R"]),
        "GET /b/{x}": ("comment", 1, ["b:R"]),
    }


@pytest.mark.parametrize(
    ("given", "trace"),
    [
        (f"00-{TRACE}-b7ad6b7169203331-01", TRACE),
        (f"cc-{TRACE}-b7ad6b7169203331-01-more", TRACE),
        (f"ff-{TRACE}-b7ad6b7169203331-01", None),
        (f"00-{'0' * 32}-b7ad6b7169203331-01", None),
        (f"00-{TRACE.upper()}-b7ad6b7169203331-01", None),
        (f"00-{TRACE}-b7ad6b71-01", None),
        ("nonsense", None),
        (None, None),
    ],
)
def test_X68_only_valid_traces_are_traces(given, trace):
    assert trace_id(given) == trace


def test_a_torn_last_line_is_named_and_left_out_and_a_torn_line_before_is_refused():
    whole = '{"method": "GET", "path": "/a", "start": "1.5", "us": 500000, "ms": 499, "status": 200}\n'
    torn = []
    (one,) = requests_of([whole, '{"method": "GE'], thing="x", torn=torn.append)
    assert (one.start, one.end) == (1.5, 2.0)
    assert len(torn) == 1 and "line 2" in torn[0]
    for text in (whole + '{"method": "GE\n', whole + '{"method": "GE\n' + whole):
        with pytest.raises(LogUnreadable, match="line 2"):
            requests_of(text.splitlines(True), thing="x", torn=torn.append)
    with pytest.raises(LogUnreadable, match="line 2"):
        requests_of([whole, '{"method": "GE'], thing="x")


def test_what_became_a_socket_is_no_request():
    lines = '{"method": "GET", "path": "/ws", "start": 1, "ms": 9e6, "status": 101}\n'
    assert requests_of(lines.splitlines(True), thing="x") == []


@pytest.mark.parametrize("time", ["NaN", "Infinity", '"soon"', "null"])
def test_times_that_are_no_numbers_are_refused(time):
    with pytest.raises(LogUnreadable, match="line 1"):
        requests_of(['{"method": "GET", "path": "/", "end": 1, "start": ' + time + "}\n"], thing="x")


def test_a_trace_of_several_requests_is_told_apart_by_time_or_not_at_all():
    comment = f"/*traceparent='00-{TRACE}-b7ad6b7169203331-01'*/"
    transactions, _ = seen(
        (f"SELECT 1 FROM a {comment}", 1.05),
        (f"SELECT 1 FROM b {comment}", 2.05),
        # /c calls /d: both are being answered.
        (f"SELECT 1 FROM c {comment}", 3.05),
    )
    requests = [
        asked("/a/1", 1.0, 1.1, trace=TRACE),
        asked("/b/1", 2.0, 2.1, trace=TRACE),
        asked("/c/1", 3.0, 3.3, trace=TRACE),
        asked("/d/1", 3.01, 3.2, trace=TRACE),
    ]
    attributed = attribute(transactions, requests=requests)
    assert attributed.ambiguous == 1
    assert told(attributed) == {"GET /a/{id}": ("trace", 1, ["a:R"]), "GET /b/{id}": ("trace", 1, ["b:R"])}
