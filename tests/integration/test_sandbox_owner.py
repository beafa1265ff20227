"""However the owner of a stack ends, nothing of it is left."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sandbox.leftovers import MARK, PID_NAME, is_alive

pytestmark = [pytest.mark.integration, pytest.mark.filterwarnings("error::ResourceWarning")]

OWNER = """
import json, sys, threading
from sandbox.leftovers import PID_NAME
from sandbox.postgres import start_postgres
from sandbox.supervision import ProgramSpec, Stack

with Stack() as stack:
    start_postgres(stack)
    stack.run(ProgramSpec(name="worker", argv=("sleep", "1000"), autorestart=True, ready=lambda: True))
    pids = [stack.pid("postgres"), stack.pid("worker"), int((stack.folder / PID_NAME).read_text())]
    print(json.dumps({"folder": str(stack.folder), "pids": pids}), flush=True)
    threading.Event().wait()
"""


@pytest.fixture
def owner():
    process = subprocess.Popen([sys.executable, "-c", OWNER], stdout=subprocess.PIPE, start_new_session=True)
    with process:
        yield process
        process.kill()


def eventually(predicate):
    for _ in range(600):
        if predicate():
            return
        time.sleep(0.05)
    raise AssertionError("did not come true")


def marked_processes(folder):
    """All living processes, of any account, that carry the stack's mark."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if f"{MARK}={folder}".encode() in (process / "environ").read_bytes().split(b"\0"):
                found.append(process.name)
        except OSError:
            continue
    return [pid for pid in found if is_alive(int(pid))]


def assert_nothing_is_left(stack):
    folder = Path(stack["folder"])
    eventually(lambda: not folder.exists())
    eventually(lambda: not any(is_alive(pid) for pid in stack["pids"]))
    if Path("/proc/self/environ").exists():
        eventually(lambda: not marked_processes(folder))


@pytest.mark.parametrize("how", ["SIGKILL", "SIGTERM", "SIGHUP"])
def test_an_owner_that_is_ended_without_a_chance_to_clean_up(owner, how):
    stack = json.loads(owner.stdout.readline())
    owner.send_signal(signal.Signals[how])
    assert_nothing_is_left(stack)


def test_ctrl_c_reaches_only_the_owner_which_closes_in_order(owner):
    stack = json.loads(owner.stdout.readline())
    assert all(os.getsid(pid) != os.getsid(owner.pid) for pid in stack["pids"])
    os.killpg(owner.pid, signal.SIGINT)
    assert owner.wait(60) != 0
    assert not Path(stack["folder"]).exists()
    assert_nothing_is_left(stack)


def test_an_owner_killed_while_it_closes(owner):
    stack = json.loads(owner.stdout.readline())
    os.killpg(owner.pid, signal.SIGINT)
    eventually(lambda: not is_alive(stack["pids"][1]))
    owner.kill()
    assert_nothing_is_left(stack)


def test_owner_and_supervisor_killed_together(owner):
    stack = json.loads(owner.stdout.readline())
    supervisor = int((Path(stack["folder"]) / PID_NAME).read_text())
    owner.kill()
    os.kill(supervisor, signal.SIGKILL)
    assert_nothing_is_left(stack)
