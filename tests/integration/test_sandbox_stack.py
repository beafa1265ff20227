import os
import signal
import threading
import time

import psutil
import pytest

from sandbox.errors import ProgramFailed, SupervisorGone, UnfitProgram, UnknownProgram
from sandbox.leftovers import PID_NAME, is_alive
from sandbox.supervision import APP_PRIORITY, DATABASE_PRIORITY, PROXY_PRIORITY, ProgramSpec, Stack

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def stack():
    with Stack() as stack:
        yield stack


def sleeper(name, *, script="exec sleep 1000", **options):
    return ProgramSpec(name=name, argv=("sh", "-c", script), ready=lambda: True, **options)


def eventually(predicate):
    for _ in range(600):
        if predicate():
            return
        time.sleep(0.05)
    raise AssertionError("did not come true")


def test_start_stop_restart(stack):
    stack.run(sleeper("plain"))
    first = stack.pid("plain")
    assert stack.is_running("plain")
    stack.restart("plain")
    assert stack.pid("plain") not in (None, first)
    assert not is_alive(first)
    stack.stop("plain")
    stack.stop("plain")
    assert stack.pid("plain") is None
    assert not stack.is_running("plain")


def test_starting_twice_keeps_the_first(stack):
    stack.run(sleeper("twice"))
    first = stack.pid("twice")
    stack.start("twice")
    assert stack.pid("twice") == first


def test_without_a_probe_a_second_of_life_is_ready(stack):
    stack.run(ProgramSpec(name="quiet", argv=("sleep", "1000")))
    assert stack.is_running("quiet")


def test_a_program_that_dies_before_it_is_ready_is_named_with_its_log(stack):
    script = "echo connecting to postgresql://u:secret@h/d; echo no such table; exit 3"
    with pytest.raises(ProgramFailed) as caught:
        stack.run(ProgramSpec(name="broken", argv=("sh", "-c", script), ready=lambda: False))
    assert "no such table" in caught.value.reason
    assert "secret" not in caught.value.reason
    assert "broken" in caught.value.thing


def test_one_that_would_be_restarted_fails_at_its_first_death_too(stack):
    with pytest.raises(ProgramFailed, match="died before"):
        stack.run(ProgramSpec(name="loop", argv=("sh", "-c", "exit 1"), autorestart=True, ready=lambda: False))
    assert not stack.is_running("loop")


def test_a_command_that_does_not_exist(stack):
    with pytest.raises(ProgramFailed, match="no-such-command"):
        stack.run(ProgramSpec(name="missing", argv=("no-such-command",)))


def test_a_program_that_never_gets_ready_is_stopped(stack):
    with pytest.raises(ProgramFailed, match="not ready within"):
        stack.run(ProgramSpec(name="slow", argv=("sleep", "1000"), ready=lambda: False), timeout_s=0.1)
    assert not stack.is_running("slow")


def test_killed_it_stays_down_and_can_be_started_again(stack):
    stack.run(sleeper("victim", script="sleep 1000 & wait"))
    family = psutil.Process(stack.pid("victim")).children(recursive=True)
    stack.kill("victim")
    assert not any(is_alive(child.pid) for child in family)
    assert not stack.is_running("victim")
    stack.kill("victim")
    stack.start("victim")
    assert stack.is_running("victim")


def test_killed_it_comes_back_when_told_to(stack):
    stack.run(sleeper("worker", autorestart=True))
    for _kill in range(2):
        first = stack.pid("worker")
        stack.kill("worker")
        stack.wait_ready("worker")
        assert stack.pid("worker") not in (None, first)


def test_waiting_for_one_that_will_not_come_back_fails(stack):
    stack.run(sleeper("gone"))
    stack.kill("gone")
    with pytest.raises(ProgramFailed, match="died"):
        stack.wait_ready("gone")


def test_other_signals_reach_it(stack):
    stack.run(sleeper("hears", script="trap 'echo heard; exit 0' USR1; echo set; while :; do sleep 0.05; done"))
    eventually(lambda: "set" in stack.log_tail("hears"))
    stack.kill("hears", "USR1")
    eventually(lambda: "heard" in stack.log_tail("hears"))


def test_adding_again_replaces(stack):
    stack.run(sleeper("changing", script="echo one; exec sleep 1000"))
    eventually(lambda: "one" in stack.log_tail("changing"))
    stack.run(sleeper("changing", script="echo two; exec sleep 1000"))
    eventually(lambda: stack.log_tail("changing").splitlines()[-1:] == ["two"])


def test_environment_and_folder_arrive(stack):
    value = 'a ;b #c \'d\' "e" %f %(here)s {"g": 1} ü'
    stack.run(sleeper("told", script='echo "$VALUE"; pwd; exec sleep 1000', env={"VALUE": value}, cwd=stack.folder))
    eventually(lambda: stack.log_tail("told") == f"{value}\n{stack.folder}")


def test_the_names_of_the_stack_itself_are_taken(stack):
    for name in ("lifeline", "supervisord"):
        with pytest.raises(UnfitProgram):
            stack.add(sleeper(name))


def test_an_unknown_name_is_refused(stack):
    for use in (stack.launch, stack.stop, stack.pid, stack.is_running, stack.kill, stack.log_tail):
        with pytest.raises(UnknownProgram, match="nobody-knows"):
            use("nobody-knows")


def test_many_threads_may_use_it(stack):
    specs = [sleeper(f"thread-{number}") for number in range(8)]
    threads = [threading.Thread(target=stack.run, args=(spec,)) for spec in specs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(stack.is_running(spec.name) for spec in specs)


def test_closing_stops_apps_then_proxies_then_databases(tmp_path):
    order = tmp_path / "order"
    script = f"trap 'echo $0 >> {order}; exit 0' TERM; echo up; while :; do sleep 0.05; done"
    with Stack() as stack:
        folder = stack.folder
        for name, priority in (("db", DATABASE_PRIORITY), ("app", APP_PRIORITY), ("proxy", PROXY_PRIORITY)):
            stack.add(ProgramSpec(name=name, argv=("sh", "-c", script, name), priority=priority))
            stack.start(name, ready=lambda name=name: "up" in stack.log_tail(name))
        pids = [stack.pid(name) for name in ("db", "app", "proxy")]
    assert order.read_text().split() == ["app", "proxy", "db"]
    assert not folder.exists()
    assert not any(is_alive(pid) for pid in pids)


def test_closing_ends_one_that_does_not_listen_and_its_orphans():
    script = "trap '' TERM; (trap '' TERM; sleep 1000) & echo $!; sleep 1000"
    with Stack() as stack:
        stack.run(sleeper("deaf", script=script, stop_seconds=1))
        eventually(lambda: stack.log_tail("deaf").strip())
        pids = [stack.pid("deaf"), int(stack.log_tail("deaf"))]
    assert not any(is_alive(pid) for pid in pids)


def test_an_exception_in_the_block_cleans_up():
    with pytest.raises(KeyboardInterrupt), Stack() as stack:
        folder = stack.folder
        stack.run(sleeper("any"))
        pid = stack.pid("any")
        raise KeyboardInterrupt
    assert not folder.exists()
    assert not is_alive(pid)


def test_when_the_supervisor_is_killed_its_programs_go_too():
    with Stack() as stack:
        folder = stack.folder
        stack.run(sleeper("orphan"))
        pid = stack.pid("orphan")
        os.kill(int((stack.folder / PID_NAME).read_text()), signal.SIGKILL)
        with pytest.raises(SupervisorGone):
            eventually(lambda: stack.pid("orphan") is None)
        eventually(lambda: not is_alive(pid))
    assert not folder.exists()


def test_a_killed_lifeline_comes_back(stack):
    def lifelines():
        children = psutil.Process(int((stack.folder / PID_NAME).read_text())).children()
        alive = [child for child in children if is_alive(child.pid)]
        return [child.pid for child in alive if "sandbox.lifeline" in child.cmdline()]

    eventually(lifelines)
    (first,) = lifelines()
    os.kill(first, signal.SIGKILL)
    eventually(lambda: lifelines() not in ([], [first]))


def test_a_closed_stack_refuses():
    stack = Stack()
    with pytest.raises(SupervisorGone, match="not open"):
        stack.add(sleeper("early"))
    stack.close()
    with stack:
        pass
    stack.close()
    with pytest.raises(SupervisorGone, match="not open"):
        _ = stack.folder
