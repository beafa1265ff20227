"""The demo's own parts on a small store: the runner killed at every step under traffic, and Ctrl-C."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
import pytest

from demo.audit import audit
from demo.measure import client_view
from demo.pace import Pace
from demo.stack import PLAN, start_store
from demo.story import Story, parse_break
from migration_plans.transfer import STEPS
from sandbox.supervision import Stack


@pytest.fixture(scope="module")
def story(tmp_path_factory):
    """A running small store with traffic, copied and following."""
    plan = tmp_path_factory.mktemp("plan") / "catalog.yaml"
    text = PLAN.read_text()
    for old, new in (
        ("min_compared: 150", "min_compared: 30"),
        ("max_upper_bound: 0.02", "max_upper_bound: 0.2"),
        ("max_failed: 0.02", "max_failed: 0.2"),
        ("hold_budget_s: 0.8", "hold_budget_s: 5.0"),
    ):
        assert old in text
        text = text.replace(old, new)
    plan.write_text(text)
    with Stack() as stack:
        store = start_store(stack, scale=0.02, seed=11, say=print, plan=plan)
        story = Story(store=store, say=print, started=time.monotonic(), seed=11)
        story.start_traffic(Pace(writes_per_s=25.0, reads_per_s=25.0))
        story.strangler("run", "catalog", "--until", "following")
        yield story


def to_the_brink(story):
    story.strangler("run", "catalog", "--until", "reads_ramping", "--hold", "0")


@pytest.mark.timeout(900)
def test_C7_a_runner_killed_at_any_step_under_traffic_loses_doubles_and_fails_nothing(story):
    for operation in ("cutover", "rollback"):
        for step in STEPS:
            if operation == "cutover":
                to_the_brink(story)
            story.killed.clear()
            story.broken = parse_break(f"{operation}.{step}")
            story.transfer(operation)
            owner = story.read("status", "catalog")["ownership"]
            assert owner["settled"], (operation, step, owner)
            assert owner["owner"] == ("service" if operation == "cutover" else "legacy"), (operation, step)
            story.broken = None
            if operation == "cutover":
                story.transfer("rollback")
            elif step != STEPS[-1]:
                to_the_brink(story)
                story.transfer("cutover")
        if operation == "cutover":
            to_the_brink(story)
            story.transfer("cutover")
    story.store.stack.stop("traffic")
    story.drain()
    audited = audit(story.ledger, story.store.legacy_database, story.store.service_database)
    lines = [json.loads(line) for line in story.ledger.read_text().splitlines()]
    clients = client_view(lines, started_at=0.0)
    assert audited.acknowledged > 200
    assert (audited.lost, audited.duplicated, audited.diverged) == (0, 0, 0), audited.examples
    assert clients.requests.failed == 0, clients.failures


def ours(folder):
    """Processes whose command line mentions a folder of the demo."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        if any(str(folder) in word for word in process.info["cmdline"] or ()):
            found.append(process)
    return found


@pytest.mark.parametrize("wait_for", ["migrating and seeding", "starting Envoy", "copy and follow"])
def test_ctrl_c_leaves_no_process_and_no_folder(wait_for, tmp_path):
    temporary = tmp_path / "tmp"
    temporary.mkdir(mode=0o755)
    for folder in (tmp_path, *tmp_path.parents[:3]):
        if folder != Path(tempfile.gettempdir()):
            folder.chmod(0o755)
    demo = subprocess.Popen(
        [sys.executable, "-m", "cli", "demo", "--scale", "0.02", "--writes", "20", "--reads", "20"],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(temporary)},
        start_new_session=True,
    )
    for line in demo.stderr:
        if wait_for in line:
            break
    os.killpg(demo.pid, signal.SIGINT)
    assert demo.wait(timeout=90) == 130
    assert [path.name for path in temporary.iterdir() if "postgres" not in path.name] == []
    assert ours(temporary) == []
