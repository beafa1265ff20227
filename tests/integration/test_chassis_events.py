"""The chassis' transactional outbox and idempotent inbox on a real database, and the outbox through capture."""

import asyncio
import json
import uuid
from datetime import timedelta

import psycopg
import pytest

from cdc.events import TableName
from cdc.outbox.options import OutboxOptions, parse_placements
from cdc.outbox.router import OutboxRouter
from extracted.chassis import inbox, outbox
from extracted.chassis.errors import OutsideTransaction
from extracted.chassis.outbox import OutgoingEvent
from extracted.chassis.request_context import RequestContext, current_request
from tests.capture import capturing

PLACED = OutgoingEvent(aggregate_type="order", aggregate_id="7", type="OrderPlaced", payload={"total": "12.30", "ä": 1})


@pytest.fixture
def url(new_database):
    return new_database("chassis")


def in_service(url, act):
    """`act(connection)` as a service's task, on the kind of connection that its pool gives."""

    async def run():
        async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
            return await act(connection)

    return asyncio.run(run())


def execute(url, *statements):
    with psycopg.connect(url, autocommit=True) as connection:
        return [connection.execute(statement) for statement in statements]


def rows(url, query):
    with psycopg.connect(url) as connection:
        return connection.execute(query).fetchall()


def test_an_event_is_told_when_its_transaction_commits_and_never_otherwise(url):
    async def act(connection):
        async with connection.transaction():
            await connection.execute("INSERT INTO orders VALUES (7)")
            first = await outbox.write(connection, PLACED)
        with pytest.raises(ZeroDivisionError):
            async with connection.transaction():
                await outbox.write(connection, PLACED)
                raise ZeroDivisionError
        with pytest.raises(OutsideTransaction):
            await outbox.write(connection, PLACED)
        token = current_request.set(RequestContext(request_id="r1", traceparent="00-a-b-01"))
        async with connection.transaction():
            gone = OutgoingEvent(aggregate_type="order", aggregate_id="7", type="OrderGone", payload=None)
            second = await outbox.write(connection, gone)
        current_request.reset(token)
        await outbox.prune(connection, keep=timedelta(0))
        return first, second

    with capturing(url, "CREATE TABLE orders (id int PRIMARY KEY);" + ";".join(outbox.CREATE), "outbox") as capture:
        first, second = in_service(url, act)
        place = parse_placements(["type:header:eventType", "request_id:header", "traceparent:header"])
        router = OutboxRouter(OutboxOptions(table=TableName(name="outbox"), timestamp="at", place=place))
        routed = [
            router.route(transaction, index, change)
            for transaction in capture.captured()
            for index, change in enumerate(transaction.changes)
        ]
        events = [event for event in routed if event is not None]
        assert [event.id for event in events] == [str(first), str(second)], "a pruned row is no event"
        assert {(event.topic, event.key) for event in events} == {("outbox.event.order", "7")}
        assert json.loads(events[0].value) == {"total": "12.30", "ä": 1}
        assert events[1].value is None
        assert events[0].headers["eventType"] == "OrderPlaced"
        assert (events[1].headers["request_id"], events[1].headers["traceparent"]) == ("r1", "00-a-b-01")
        assert rows(url, "SELECT count(*) FROM outbox") == [(0,)]


def test_prune_keeps_what_is_young_and_bounds_itself(url):
    execute(url, *outbox.CREATE, *inbox.CREATE)
    execute(
        url,
        "INSERT INTO outbox SELECT gen_random_uuid(), 'a', 'b', 'c', '{}', now() - g * interval '1 hour'"
        " FROM generate_series(1, 10) g",
        "INSERT INTO inbox SELECT 'me', g, now() - g * interval '1 hour' FROM generate_series(1, 10) g",
    )
    keep = timedelta(hours=4.5)
    for part in (outbox, inbox):

        async def act(connection, part=part):
            return [await part.prune(connection, keep=keep, limit=4) for _ in range(3)]

        assert in_service(url, act) == [4, 2, 0]
    assert rows(url, "SELECT count(*) FROM outbox") == rows(url, "SELECT count(*) FROM inbox") == [(4,)]


def test_an_event_has_its_effect_once_and_a_failed_one_may_come_again(url):
    execute(url, *inbox.CREATE, "CREATE TABLE effect (id text)")
    event_id = str(uuid.uuid4())

    async def effect(connection):
        await connection.execute("INSERT INTO effect VALUES (%s)", (event_id,))

    async def fails(connection):
        await effect(connection)
        raise ZeroDivisionError

    async def act(connection):
        with pytest.raises(ZeroDivisionError):
            await inbox.handle_once(connection, consumer="stock", event_id=event_id, handler=fails)
        return [
            await inbox.handle_once(connection, consumer=consumer, event_id=event_id, handler=effect)
            for consumer in ("stock", "stock", "mail")
        ]

    assert in_service(url, act) == [True, False, True]
    assert rows(url, "SELECT count(*) FROM effect") == [(2,)]


def test_two_deliveries_at_once_have_one_effect(url):
    execute(url, *inbox.CREATE, "CREATE TABLE effect (id int)")

    async def act(_):
        entered = asyncio.Event()

        async def slow(connection):
            entered.set()
            await connection.execute("SELECT pg_sleep(0.2)")
            await connection.execute("INSERT INTO effect VALUES (1)")

        async def deliver(wait):
            if wait:
                await entered.wait()
            async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
                return await inbox.handle_once(connection, consumer="c", event_id="e", handler=slow)

        return await asyncio.gather(deliver(False), deliver(True))

    assert sorted(in_service(url, act)) == [False, True]
    assert rows(url, "SELECT count(*) FROM effect") == [(1,)]


def test_both_tables_go_as_they_came(url):
    execute(url, *outbox.CREATE, *inbox.CREATE, *inbox.DROP, *outbox.DROP)
    assert rows(url, "SELECT to_regclass('outbox'), to_regclass('inbox')") == [(None, None)]
