import os
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from sandbox.leftovers import SOCKET_NAME, is_alive, make_folder, remove_folder, remove_stale_folders


@pytest.fixture
def temporary(monkeypatch):
    with tempfile.TemporaryDirectory(dir="/tmp", prefix="t-") as folder:
        Path(folder).chmod(0o755)
        monkeypatch.setattr(tempfile, "tempdir", folder)
        yield Path(folder)


@pytest.fixture
def dead_pid():
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    return child.pid


def old_folder(temporary, owner):
    folder = temporary / f"strangler-sandbox-{owner}-x"
    folder.mkdir()
    os.utime(folder, (0, 0))
    return folder


def test_a_folder_of_a_dead_owner_is_removed(temporary, dead_pid):
    folder = old_folder(temporary, dead_pid)
    remove_stale_folders()
    assert not folder.exists()


def test_a_young_folder_stays(temporary, dead_pid):
    folder = old_folder(temporary, dead_pid)
    os.utime(folder)
    remove_stale_folders()
    assert folder.exists()


def test_a_folder_of_a_living_owner_stays(temporary):
    folder = old_folder(temporary, os.getpid())
    remove_stale_folders()
    assert folder.exists()


def test_a_folder_whose_supervisor_answers_stays(temporary, dead_pid):
    folder = old_folder(temporary, dead_pid)
    with socket.socket(socket.AF_UNIX) as supervisor:
        supervisor.bind(str(folder / SOCKET_NAME))
        supervisor.listen()
        os.utime(folder, (0, 0))
        remove_stale_folders()
        assert folder.exists()


def test_foreign_folders_stay(temporary):
    (temporary / "strangler-sandbox-notes").mkdir()
    os.utime(temporary / "strangler-sandbox-notes", (0, 0))
    remove_stale_folders()
    assert (temporary / "strangler-sandbox-notes").exists()


def test_a_new_folder_is_private_and_passable_for_a_server_account(temporary):
    folder = make_folder()
    assert folder.parent == temporary.resolve()
    assert folder.stat().st_mode & 0o777 == (0o711 if os.geteuid() == 0 else 0o700)
    remove_folder(folder)
    assert not folder.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only as root the server has another account")
def test_as_root_a_temporary_folder_that_others_cannot_reach_is_not_used(temporary):
    temporary.chmod(0o700)
    folder = make_folder()
    remove_folder(folder)
    assert folder.parent != temporary.resolve()


def test_a_process_that_ended_is_not_alive_although_nobody_waited_for_it():
    child = subprocess.Popen([sys.executable, "-c", ""], stdout=subprocess.PIPE)
    child.stdout.read()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert not is_alive(child.pid)
    child.wait()
    child.stdout.close()
