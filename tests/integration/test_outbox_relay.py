"""The outbox relay as a process, killed at any moment: no event is lost, order per aggregate, the same ids (item 7)."""

import itertools
import json
import os
import random
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path

import psycopg
import pytest

from cdc.lag import read_lag
from strangler import failpoints
from tests.integration.test_worker_copy import until

ROOT = Path(__file__).parents[2]
DDL = """
CREATE TABLE outbox (
    id uuid PRIMARY KEY, aggregatetype text NOT NULL, aggregateid text NOT NULL, type text NOT NULL, payload jsonb
);
CREATE TABLE busy (id int PRIMARY KEY, v text);
"""


class Shop:
    """A source with an outbox, a consumer's database, and the relay's command."""

    def __init__(self, new_database, folder):
        self.dsn, self.consumer_dsn = new_database("shop"), new_database("consumer")
        self.source = psycopg.connect(self.dsn, autocommit=True)
        self.consumer = psycopg.connect(self.consumer_dsn, autocommit=True)
        self.source.execute(DDL)
        self.folder = Path(folder)
        self.lines = self.folder / "events.jsonl"
        # Slots belong to the whole server: every test names its own.
        self.service = f"s{uuid.uuid4().hex[:8]}"
        self.config = self.folder / "strangler.toml"
        self.written, self.processes = [], []
        self.configure()

    def configure(self, more=""):
        self.config.write_text(
            f'[legacy]\ndatabase = "postgresql://127.0.0.1:1/none"\nurl = "http://127.0.0.1:1"\n'
            f'[services.{self.service}]\ndatabase = "{self.dsn}"\nurl = "http://127.0.0.1:1"\nplan = "none.yaml"\n'
            f'[services.{self.service}.outbox]\nexpand_json = true\nplace = ["type:header:eventType"]\n{more}'
        )

    def command(self, *options):
        return [sys.executable, "-m", "cli", "--config", str(self.config), "cdc", "outbox", self.service, *options]

    def run(self, *options):
        with self.lines.open("ab") as lines:
            done = subprocess.run(
                self.command(*options), cwd=ROOT, stdout=lines, stderr=subprocess.PIPE, timeout=60, check=False
            )
        return done.returncode, done.stderr.decode()

    def start(self, *options, point=""):
        with self.lines.open("ab") as lines:
            process = subprocess.Popen(
                self.command(*options), cwd=ROOT, stdout=lines, stderr=subprocess.DEVNULL,
                env={**os.environ, failpoints.VARIABLE: point},
            )  # fmt: skip
        self.processes.append(process)
        return process

    def write(self, chance, count):
        """Transactions of one to three events of five aggregates; some roll back, old rows are deleted at once."""
        for _ in range(count):
            events = []
            with self.source.transaction(force_rollback=chance.random() < 0.1) as _:
                for _ in range(chance.randint(1, 3)):
                    event = (str(uuid.UUID(int=chance.getrandbits(128))), str(chance.randint(1, 5)))
                    number = len(self.written) + len(events)
                    self.source.execute(
                        "INSERT INTO outbox VALUES (%s, 'order', %s, 'Changed', %s)",
                        (*event, json.dumps({"number": number})),
                    )
                    events.append((*event, number))
            found = self.source.execute("SELECT 1 FROM outbox WHERE id = %s", (events[0][0],)).fetchone()
            self.written += events if found else []
            self.source.execute("DELETE FROM outbox")

    def delivered(self):
        """(id, aggregate, number) of every line."""
        found = [json.loads(line) for line in self.lines.read_text().splitlines()]
        assert all(event["headers"] == {"id": event["id"], "eventType": "Changed"} for event in found)
        assert all(event["topic"] == "outbox.event.order" for event in found)
        return [(event["id"], event["key"], event["value"]["number"]) for event in found]

    def inbound(self):
        rows = self.consumer.execute(
            "SELECT id, key, convert_from(value, 'UTF8')::jsonb -> 'number' FROM strangler.inbound_event"
            " ORDER BY number"
        )
        return [tuple(row) for row in rows.fetchall()]

    def close(self):
        for process in self.processes:
            if process.poll() is None:
                process.kill()
                process.wait()
        for slot in ("lines", "database"):
            name = f"strangler_outbox_{self.service}_{slot}"
            until(lambda name=name: not self.one("SELECT active FROM pg_replication_slots WHERE slot_name = %s", name))
            self.source.execute(
                "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = %s", (name,)
            )
        self.source.close()
        self.consumer.close()

    def one(self, query, *parameters):
        row = self.source.execute(query, parameters).fetchone()
        return row and row[0]


@pytest.fixture
def shop(new_database, tmp_path):
    shop = Shop(new_database, tmp_path)
    yield shop
    shop.close()


def in_order(events):
    """Without what came again, each aggregate's events in the order in which they were written."""
    seen = list(dict.fromkeys(events))
    assert len({event[0] for event in seen}) == len(seen), "an id stands for one event"
    for _, group in itertools.groupby(sorted(seen, key=lambda event: event[1]), key=lambda event: event[1]):
        numbers = [event[2] for event in group]
        assert numbers == sorted(numbers)
    return seen


def test_until_now_delivers_what_was_committed_and_goes_on_where_it_was(shop):
    assert shop.run("--until-now") == (0, "")
    assert shop.delivered() == [], "the first start begins now"
    chance = random.Random(1)
    shop.write(chance, 10)
    assert shop.run("--until-now")[0] == 0
    assert shop.delivered() == shop.written
    shop.source.execute("INSERT INTO busy VALUES (1, 'no event')")
    shop.write(chance, 3)
    assert shop.run("--until-now")[0] == 0
    assert shop.delivered() == shop.written, "nothing twice"
    assert shop.run("--drop")[0] == 0
    assert shop.one("SELECT count(*) FROM pg_replication_slots WHERE slot_name LIKE %s", f"%{shop.service}%") == 0


@pytest.mark.parametrize("to", ["lines", "database"])
def test_T05_T06_killed_at_random_and_at_its_worst_moments_it_loses_and_reorders_nothing(shop, to):
    chance = random.Random(20261122)
    options = ["--to", "lines" if to == "lines" else shop.consumer_dsn]
    assert shop.run(*options, "--until-now")[0] == 0
    worst = "cdc.outbox.before_position" if to == "lines" else "cdc.outbox.before_commit"
    for point in ("", worst, "", worst):
        process = shop.start(*options, point=point)
        if point:
            shop.write(chance, 5)
            assert process.wait(30) == -signal.SIGKILL
        else:
            slot = f"strangler_outbox_{shop.service}_{to}"
            until(lambda slot=slot: shop.one("SELECT active FROM pg_replication_slots WHERE slot_name = %s", slot))
            shop.write(chance, 15)
            time.sleep(chance.random() / 5)
            shop.write(chance, 15)
            process.kill()
            process.wait()
        shop.write(chance, 3)
    process = shop.start(*options)
    if to == "lines":
        until(lambda: {event[0] for event in shop.delivered()} >= {event[0] for event in shop.written})
        found = shop.delivered()
        assert len(found) > len(shop.written), "before_position: delivered and then forgotten"
        assert sorted(in_order(found)) == sorted(shop.written)
    else:
        until(lambda: len(shop.inbound()) >= len(shop.written))
        assert shop.inbound() == shop.written, "exactly once, in commit order"
        applied = shop.consumer.execute("SELECT events FROM strangler.outbox_position").fetchone()[0]
        assert applied == len(shop.written)
    process.terminate()
    assert process.wait(30) == 0


def test_T11_a_busy_neighbour_does_not_hold_the_log_of_an_idle_outbox(shop):
    slot = f"strangler_outbox_{shop.service}_lines"
    assert shop.run("--until-now")[0] == 0
    before = shop.one("SELECT confirmed_flush_lsn FROM pg_replication_slots WHERE slot_name = %s", slot)
    shop.start()
    shop.source.execute("INSERT INTO busy SELECT g, repeat('x', 100) FROM generate_series(1, 20000) g")
    written = shop.one("SELECT pg_current_wal_lsn()")
    until(
        lambda: shop.one(
            "SELECT confirmed_flush_lsn > %s AND confirmed_flush_lsn >= %s FROM pg_replication_slots"
            " WHERE slot_name = %s",
            before,
            written,
            slot,
        )
    )
    assert read_lag(shop.dsn, shop.dsn, slot).wal_status == "reserved"


def test_a_row_that_cannot_be_routed_stops_the_relay_and_is_not_passed(shop):
    assert shop.run("--until-now")[0] == 0
    shop.source.execute("INSERT INTO outbox VALUES (gen_random_uuid(), 'two words', '1', 'T', '{}')")
    code, said = shop.run("--until-now")
    assert code == 3
    assert "cannot be the name of a topic" in said
    shop.configure('topic_regex = "(\\\\w+) .*"\ntopic = "t.$1"\n')
    assert shop.run("--until-now")[0] == 0
    assert json.loads(shop.lines.read_text())["topic"] == "t.two"


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("DROP PUBLICATION {}", "without its publication"),
        ("ALTER PUBLICATION {} DROP TABLE outbox", "taken out of the publication"),
        ("ALTER TABLE outbox RENAME TO outbox_2", "renamed to outbox_2"),
    ],
)
def test_S07_H12_an_outbox_that_is_not_heard_of_any_more_ends_the_relay_and_stays_said(shop, how, said):
    assert shop.run("--until-now")[0] == 0
    relay = shop.start()
    slot = f"strangler_outbox_{shop.service}_lines"
    while (
        shop.source.execute("SELECT FROM pg_replication_slots WHERE slot_name = %s AND active", [slot]).fetchone()
        is None
    ):
        assert relay.poll() is None
    shop.source.execute(how.format(slot))
    assert relay.wait(120) == 3
    if "RENAME" in how:
        shop.source.execute("ALTER TABLE outbox_2 RENAME TO outbox")
    for _ in range(2):
        code, told = shop.run("--until-now")
        assert code == 3
        assert said in " ".join(told.split())
        assert "cdc outbox --drop" in " ".join(told.split())


def test_an_update_of_an_outbox_row_can_be_fatal(shop):
    shop.configure('invalid_operation = "fatal"\n')
    assert shop.run("--until-now")[0] == 0
    shop.source.execute("INSERT INTO outbox VALUES (gen_random_uuid(), 'order', '1', 'T', '{}')")
    shop.source.execute("UPDATE outbox SET type = 'U'")
    code, said = shop.run("--until-now")
    assert code == 3
    assert "only inserts are events" in said


def test_without_a_section_the_command_says_what_to_write(shop):
    shop.config.write_text(shop.config.read_text().split(f"[services.{shop.service}.outbox]")[0])
    code, said = shop.run("--until-now")
    assert code == 2
    assert f"[services.{shop.service}.outbox]" in said
