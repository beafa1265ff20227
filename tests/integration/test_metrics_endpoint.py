"""The worker's Prometheus endpoint and `cdc lag` on a real stream (item 8)."""

import json
import re
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from cdc.copy_requests import request_copy
from cdc.lag import read_lag
from cdc.metrics.alerts import Thresholds
from cdc.metrics.exporter import MetricsExporter
from sandbox.postgres import free_port
from strangler.clock import SystemClock
from tests.catalog_mapping import CATALOG, LEGACY_DDL, SERVICE_DDL
from tests.integration.test_worker_copy import copied, running, settle, until
from tests.stream_pair import StreamPair, identical

PLAN = Path(__file__).parents[2] / "migration_plans" / "catalog.yaml"
DDL = "CREATE TABLE item (id int PRIMARY KEY, v text); CREATE TABLE part (id int PRIMARY KEY)"


@pytest.fixture
def pair(new_database, tmp_path):
    pair = StreamPair(
        new_database, tmp_path, "m", identical(("item", "id v"), ("part", "id")), DDL, DDL, limits={"status_s": 0.1}
    )
    yield pair
    pair.close()


def scrape(port):
    text = httpx.get(f"http://127.0.0.1:{port}/metrics", trust_env=False).text
    return {
        (name, tuple(sorted(re.findall(r'(\w+)="([^"]*)"', labels or "")))): float(value)
        for name, labels, value in re.findall(r"^(\w+)(?:\{(.*)\})? (\S+)$", text, re.MULTILINE)
    }, text


def test_the_endpoint_follows_a_stream_and_holds_no_secret(pair):
    stream, port = pair.link.stream, free_port()
    pair.source.execute("INSERT INTO item SELECT g, 'secret value' FROM generate_series(1, 50) g; ANALYZE item")
    pair.provision()
    request_copy(pair.target_dsn, stream, pair.link.mapper.source_tables)
    with running([pair.link]) as worker:
        exporter = MetricsExporter(
            [pair.link], worker.meters(), address=f"127.0.0.1:{port}", thresholds=Thresholds(wal_bytes=1),
            clock=SystemClock(), sample_s=0.05,
        )  # fmt: skip
        exporter.start()
        try:
            until(lambda: copied(pair.link) == ["done", "done"])
            pair.source.execute("INSERT INTO item VALUES (100, 'a')")
            pair.source.execute("UPDATE item SET v = 'b' WHERE id < 3")
            pair.source.execute("DELETE FROM item WHERE id = 4")
            pair.source.execute("TRUNCATE part")
            settle(pair.link)

            def value(name, **labels):
                return scrape(port)[0].get((f"strangler_{name}", tuple(sorted({"stream": stream, **labels}.items()))))

            until(lambda: value("copied_rows", table="item") == 50)
            assert value("events_applied_total", table="item", operation="insert") == 1
            assert value("events_applied_total", table="item", operation="update") == 2
            assert value("events_applied_total", table="item", operation="delete") == 1
            assert value("events_applied_total", table="part", operation="truncate") == 1
            assert value("copy_estimated_rows", table="item") == 50
            assert value("table_last_applied_timestamp_seconds", table="item") > 1.7e9
            assert value("lag_events") == 0
            assert value("apply_seconds_count") >= 4
            assert value("capture_to_apply_seconds_count") >= 5
            assert value("databases_reachable") == 1
            until(lambda: value("stream_state", state="streaming") == 1)
            assert value("slot_retained_bytes") > 0
            assert value("alert", alert="wal_retained") == 1
            until(lambda: value("applied_position_bytes") > 0 and value("lag_bytes") == 0)
            text = scrape(port)[1]
            assert "secret" not in text
            assert "127.0.0.1" not in text
            seen = {table.table: table for table in read_lag(pair.source_dsn, pair.target_dsn, stream).tables}
            until(lambda: read_lag(pair.source_dsn, pair.target_dsn, stream).events_waiting == 0)
            assert (seen["item"].copied_rows, seen["item"].copy_state, seen["item"].parked_rows) == (50, "done", 0)
            assert seen["item"].last_applied is not None
        finally:
            exporter.close()


def test_a_taken_address_stops_no_stream_and_is_tried_again(pair):
    pair.provision()
    with socket.socket() as taken, running([pair.link]) as worker:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        exporter = MetricsExporter(
            [pair.link], worker.meters(), address=f"127.0.0.1:{port}", thresholds=Thresholds(), clock=SystemClock(),
            sample_s=0.05,
        )  # fmt: skip
        exporter.start()
        try:
            taken.close()

            def answers():
                try:
                    return "strangler_stream_state" in scrape(port)[1]
                except httpx.TransportError:
                    return False

            until(answers)
        finally:
            exporter.close()


def test_T11_O2_cdc_lag_tells_both_directions_by_table_and_exits_1_on_an_alert(new_database, tmp_path):
    pair = StreamPair(new_database, tmp_path, "catalog", CATALOG, LEGACY_DDL, SERVICE_DDL)
    config = tmp_path / "strangler.toml"
    text = (
        f'[legacy]\ndatabase = "{pair.source_dsn}"\nurl = "http://127.0.0.1:1"\n[services.catalog]\n'
        f'database = "{pair.target_dsn}"\nurl = "http://127.0.0.1:2"\nplan = "{PLAN}"\n'
    )

    def ask(more, *options):
        config.write_text(text + more)
        return subprocess.run(
            [sys.executable, "-m", "cli", "--config", config, "cdc", "lag", *options],
            capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip

    try:
        pair.provision()
        pair.provision(pair.make_link("reverse"))
        with running([pair.link]):
            pair.source.execute("INSERT INTO category (name, slug) VALUES ('n', 's')")
            settle(pair.link)
        quiet = ask("", "--json")
        assert quiet.returncode == 0, quiet.stderr
        forward, reverse = json.loads(quiet.stdout)
        assert (forward["direction"], reverse["direction"]) == ("forward", "reverse")
        assert {table["table"] for table in forward["tables"]} == {"category", "product", "price", "product_category"}
        assert forward["wal_retained_bytes"] >= 0
        assert "caught_up_in" in forward
        loud = ask("[stream]\nalert_wal_bytes = 1\n")
        assert loud.returncode == 1
        assert "replication slot strangler_catalog_forward" in loud.stderr
        assert "max_slot_wal_keep_size" in loud.stderr
        assert "mend" in loud.stderr
        assert "product_category" in loud.stdout
    finally:
        pair.close()
