"""Settings, ids, errors and the answer to a defect of our own, without a database."""

import asyncio

import httpx
import psycopg
import pytest
from fastapi import APIRouter

from extracted.chassis.application import create_service
from extracted.chassis.database import translate
from extracted.chassis.errors import BadSettings, Invalid, ReadOnly, Unavailable
from extracted.chassis.metrics import ServiceMetrics
from extracted.chassis.request_context import current_request, read_context
from extracted.chassis.settings import load_settings


def test_settings_name_the_variable_that_is_wrong():
    with pytest.raises(BadSettings) as missing:
        load_settings({})
    assert missing.value.variable == "DATABASE_URL"
    with pytest.raises(BadSettings) as wrong:
        load_settings({"DATABASE_URL": "postgresql://u:secret@h/d", "POOL_MAX": "many"})
    assert wrong.value.variable == "POOL_MAX"
    assert "secret" not in str(wrong.value)


def test_settings_do_not_show_the_database_url():
    assert "secret" not in repr(load_settings({"DATABASE_URL": "postgresql://u:secret@h/d"}))


def test_ids_travel():
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    headers = [(b"x-request-id", b"abc"), (b"traceparent", trace.encode())]
    context = read_context(headers, lambda: "fresh")
    assert context.headers() == {"x-request-id": "abc", "traceparent": trace}


@pytest.mark.parametrize("bad", [b"", b"with space", b"x" * 201, b"\xff"])
def test_an_unusable_request_id_is_replaced(bad):
    context = read_context([(b"x-request-id", bad), (b"traceparent", b"nonsense")], lambda: "fresh")
    assert context.headers() == {"x-request-id": "fresh"}


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (psycopg.errors.ReadOnlySqlTransaction(), ReadOnly),
        (psycopg.errors.DeadlockDetected(), Unavailable),
        (psycopg.OperationalError("server closed the connection"), Unavailable),
        (psycopg.errors.NumericValueOutOfRange(), Invalid),
    ],
)
def test_driver_errors_are_translated(error, expected):
    assert isinstance(translate(error), expected)


def test_a_defect_of_ours_stays_itself():
    error = psycopg.errors.UndefinedTable()
    assert translate(error) is error


def test_answers_of_the_chassis():
    router = APIRouter()

    @router.get("/who")
    async def who():
        return current_request.get().headers()

    @router.get("/broken")
    async def broken():
        raise RuntimeError("detail that no client may see")

    app = create_service("test", router)
    metrics = ServiceMetrics(dict)

    async def with_state(scope, receive, send):
        await app({**scope, "state": {"metrics": metrics}}, receive, send)

    calls = [("GET", "/who"), ("GET", "/broken"), ("GET", "/nowhere"), ("POST", "/who")]

    async def ask():
        transport = httpx.ASGITransport(app=with_state, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            headers = {"x-request-id": "r1"}
            return [await client.request(*call, headers=headers) for call in calls]

    answers = asyncio.run(ask())
    assert [answer.headers["x-request-id"] for answer in answers] == ["r1"] * 4
    assert answers[0].json() == {"x-request-id": "r1"}
    assert [(a.status_code, a.json()["error"]["code"]) for a in answers[1:]] == [
        (500, "internal"),
        (404, "not_found"),
        (405, "method_not_allowed"),
    ]
    assert "detail" not in answers[1].text
    text = metrics.text().decode()
    assert 'http_requests_total{method="GET",route="/broken",status="500"} 1.0' in text
    assert 'http_requests_total{method="GET",route="(none)",status="404"} 1.0' in text
