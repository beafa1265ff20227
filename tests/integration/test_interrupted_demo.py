"""Ctrl-C while the demo runs."""

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import psutil
import pytest


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
    with demo.stderr as said:
        for line in said:
            if wait_for in line:
                break
        os.killpg(demo.pid, signal.SIGINT)
        assert demo.wait(timeout=90) == 130
    assert [path.name for path in temporary.iterdir() if "postgres" not in path.name] == []
    assert ours(temporary) == []
