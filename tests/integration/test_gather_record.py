"""Traffic through the recorder, joined with a real server's log: compared with what the shop is known to do."""

import itertools
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import httpx
import psycopg
import pytest
from click.testing import CliRunner

from cli import strangler
from migration_plans.errors import LogUnreadable
from migration_plans.gather.gathering import GatherSettings, gather
from migration_plans.gather.paths import shape_of
from sandbox.postgres import create_database, postgres_server
from tests.integration.recorded_shop import SCHEMA, TRUTH, served, shop
from tests.integration.recording import recording

pytestmark = pytest.mark.integration

ROUNDS = 4
CLIENTS = 4


@dataclass(frozen=True, kw_only=True)
class LoggingServer:
    url: str
    log: Path

    def database(self, name: str) -> str:
        url = create_database(self.url, name)
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(SCHEMA)
            connection.execute(f"ALTER DATABASE \"{name}\" SET log_statement = 'all'")
        return url

    def written(self) -> Path:
        """The log, once it holds everything that was logged until now."""
        word = f"sentinel {time.monotonic_ns()}"
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute("SET log_statement = 'all'")
            connection.execute(f"/* {word} */ SELECT 1")
        deadline = time.monotonic() + 60
        while word not in self.log.read_text():
            assert time.monotonic() < deadline
            time.sleep(0.02)
        return self.log


@pytest.fixture(scope="module")
def server():
    settings = {
        "fsync": "off",
        "logging_collector": "on",
        "log_destination": "jsonlog",
        "log_filename": "postgresql.log",
        "log_rotation_age": "0",
    }
    with postgres_server(settings) as url:
        with psycopg.connect(url) as connection:
            (data,) = connection.execute("SHOW data_directory").fetchone()
        yield LoggingServer(url=url, log=Path(data) / "log" / "postgresql.json")


def shopping(base_url, customer):
    """Every endpoint at least once, answers used in later requests."""
    with httpx.Client(base_url=base_url, timeout=60, trust_env=False) as client:
        for number in range(ROUNDS):
            wanted = {"customer_id": customer, "product_id": 10 + number}
            order = client.post("/orders", json=wanted).raise_for_status().json()["id"]
            assert client.get(f"/orders/{order}?verbose=1").json()["state"] == "new"
            client.post(f"/orders/{order}/pay").raise_for_status()
            client.get(f"/customers/{customer}/invoices").raise_for_status()
            client.put(f"/users/u{customer}0{number}").raise_for_status()
            client.get("/healthz").raise_for_status()


def crowd(base_url):
    threads = [threading.Thread(target=shopping, args=(base_url, number + 1)) for number in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)


def told(document, evidence):
    return {
        shape_of(name): {" ".join(f"{table}:{mode}" for table, mode in done) for done in one.transactions}
        for name, one in document.functionalities.items()
        if one.evidence == evidence
    }


KNOWN = {shape_of(name): done for name, done in TRUTH.items()}


@pytest.mark.parametrize("way", ["comment", "trace", "application"])
def test_a_crowd_is_attributed_exactly_when_statements_tell_their_request(server, tmp_path, way):
    database = server.database(f"told_by_{way}")
    with served(shop(database, way)) as upstream, recording(upstream, tmp_path / "run.jsonl") as running:
        crowd(running.url)
        seen = running.end()
    assert (seen["requests"], seen["refused"]) == (CLIENTS * ROUNDS * 6, 0)
    document = gather(GatherSettings(source=database, logs=(server.written(),), requests=(running.out,)))
    assert told(document, way) == KNOWN
    assert {one.calls for one in document.functionalities.values()} == {CLIENTS * ROUNDS}
    assert len(document.functionalities) == len(TRUTH)
    assert document.gathering.ambiguous_transactions == 0


def test_one_client_is_attributed_exactly_by_time(server, tmp_path):
    database = server.database("told_by_time")
    with (
        served(shop(database, "plain")) as upstream,
        recording(upstream, tmp_path / "run.jsonl", "--source", database) as running,
    ):
        shopping(running.url, 1)
    assert running.seen["endpoints"] == 6
    document = gather(GatherSettings(source=database, logs=(server.written(),), requests=(running.out,)))
    assert told(document, "time") == KNOWN
    assert len(document.functionalities) == len(TRUTH)


def test_a_crowd_before_a_black_box_is_attributed_exactly_one_at_a_time(server, tmp_path):
    database = server.database("told_by_turns")
    options = ("--one-at-a-time", "--source", database)
    with served(shop(database, "plain")) as upstream, recording(upstream, tmp_path / "run.jsonl", *options) as running:
        crowd(running.url)
        seen = running.end()
    assert (seen["requests"], seen["refused"]) == (CLIENTS * ROUNDS * 6, 0)
    lines = running.lines()
    # Nothing is lost or doubled, all ran alone, none overlaps another.
    assert len({line["marker"] for line in lines}) == len(lines) == seen["requests"]
    times = sorted((line["start"], line["end"]) for line in lines)
    assert all(before[1] <= after[0] for before, after in itertools.pairwise(times))
    document = gather(GatherSettings(source=database, logs=(server.written(),), requests=(running.out,)))
    assert told(document, "replay") == KNOWN
    assert len(document.functionalities) == len(TRUTH)
    with psycopg.connect(database) as connection:
        assert connection.execute("SELECT count(*) FROM orders").fetchone() == (CLIENTS * ROUNDS,)


def test_it_does_not_begin_when_statements_are_not_logged(server, tmp_path):
    out = tmp_path / "run.jsonl"
    options = ["--upstream", "http://127.0.0.1:1", "--out", str(out), "--source", create_database(server.url, "silent")]
    refused = CliRunner().invoke(strangler, ["gather", "record", *options])
    assert isinstance(refused.exception, LogUnreadable)
    assert "log_statement = 'all'" in refused.exception.mend and not out.exists()
