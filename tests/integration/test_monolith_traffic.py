"""Traffic against the real store under gunicorn: it ends cleanly, and its ledger agrees with the database."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass

import httpx
import psycopg
import pytest
from psycopg.rows import dict_row

from legacy_monolith.migrate import migrate
from legacy_monolith.seed.load import seed_store
from sandbox.postgres import create_database, free_port

pytestmark = pytest.mark.integration


@dataclass(frozen=True, kw_only=True)
class Served:
    base_url: str
    database_url: str


@pytest.fixture(scope="module")
def served(postgres_url):
    database_url = create_database(postgres_url, "traffic_store")
    migrate(database_url)
    seed_store(database_url, scale=0.01, seed=7)
    port = free_port()
    command = ["gunicorn", "-c", "python:legacy_monolith.gunicorn_conf", "legacy_monolith.wsgi:app"]
    settings = {"DATABASE_URL": database_url, "STORE_BIND": f"127.0.0.1:{port}", "STORE_WORKERS": "1"}
    process = subprocess.Popen([sys.executable, "-m", *command], env={**os.environ, **settings})
    try:
        base_url = f"http://127.0.0.1:{port}"
        _wait_until_it_answers(base_url)
        yield Served(base_url=base_url, database_url=database_url)
    finally:
        process.terminate()
        process.wait(30)


def _wait_until_it_answers(base_url):
    for _ in range(300):
        with contextlib.suppress(httpx.TransportError):
            httpx.get(f"{base_url}/healthz")
            return
        time.sleep(0.1)
    raise AssertionError("the store did not start")


def traffic(base_url, ledger, *options):
    command = [sys.executable, "-m", "legacy_monolith.traffic", "--base-url", base_url, "--ledger", str(ledger)]
    return subprocess.Popen([*command, "--seed", "5", *options], stdout=subprocess.PIPE, text=True)


def lines_of(ledger):
    return [json.loads(line) for line in ledger.read_text(encoding="utf-8").split("\n")[:-1]]


def test_every_acknowledged_write_is_in_the_database(served, tmp_path):
    ledger = tmp_path / "ledger.jsonl"
    options = ("--duration", "4", "--writes-per-second", "60", "--reads-per-second", "30", "--profile", "bursty")
    process = traffic(served.base_url, ledger, *options)
    output, _ = process.communicate(timeout=90)
    summary = json.loads(output)
    assert process.returncode == 0
    assert summary["failed"] == 0, [line for line in lines_of(ledger) if line.get("outcome") == "failed"][:3]
    assert summary["acknowledged_writes"] > 100
    lines = lines_of(ledger)
    assert lines[0]["type"] == "start"
    assert {key: lines[-1][key] for key in summary} == summary
    requests = [line for line in lines if line["type"] == "request"]
    assert sorted(line["seq"] for line in requests) == list(range(1, summary["requests"] + 1))
    assert all(line["late_ms"] >= line["ms"] > 0 for line in requests)
    assert audited(served.database_url, [line["write"] for line in requests if "write" in line]) > 50


def audited(database_url, writes):
    """Compare the last acknowledged state of every key with its row; returns how many keys there were."""
    last, closed_by = {}, {}
    for write in writes:
        names = ("product_id", "category_id") if write["entity"] == "product_category" else ("id",)
        key = write["entity"], tuple(write["key"][name] for name in names)
        last[key] = write
        if write.get("closes") is not None:
            closed_by["price", (write["closes"],)] = write["values"]["valid_from"]
    with psycopg.connect(database_url, row_factory=dict_row, options="-c timezone=UTC") as connection:
        for (entity, key), write in last.items():
            condition = "product_id = %s AND category_id = %s" if entity == "product_category" else "id = %s"
            rows = connection.execute(f"SELECT * FROM {entity} WHERE {condition}", key).fetchall()
            if write["op"] == "delete":
                assert rows == []
                continue
            expected = dict(write["values"])
            if entity == "price":
                expected["valid_to"] = closed_by.get((entity, key))
            assert [{name: as_json(value) for name, value in row.items()} for row in rows] == [expected]
    return len(last)


def as_json(value):
    if hasattr(value, "strftime"):
        return value.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    return f"{value:.2f}" if type(value).__name__ == "Decimal" else value


def test_a_signal_ends_it_with_a_whole_ledger(served, tmp_path):
    ledger = tmp_path / "ledger.jsonl"
    process = traffic(served.base_url, ledger, "--writes-per-second", "30", "--reads-per-second", "10")
    while not ledger.exists() or len(lines_of(ledger)) < 20:
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert len(output.splitlines()) == 1
    lines = lines_of(ledger)
    assert lines[-1]["type"] == "stop"
    assert lines[-1]["requests"] == json.loads(output)["requests"] == len(lines) - 2


def test_a_store_that_is_not_there_is_told(tmp_path):
    process = traffic(f"http://127.0.0.1:{free_port()}", tmp_path / "ledger.jsonl")
    process.communicate(timeout=60)
    assert process.returncode == 1
