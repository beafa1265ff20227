"""The PostgreSQL servers that this machine can run, by major version."""

import contextlib
import os
import re
import subprocess
from pathlib import Path

from sandbox.errors import PartMissing
from sandbox.postgres_binaries import SUPPORTED_MAJORS, VARIABLE, find_binaries

PLACES = "STRANGLER_TEST_PG_BINS"
"""More folders with `initdb` and `postgres`, separated as in PATH."""


def servers():
    """Major version → folder of its programs; None for what `find_binaries` finds by itself."""
    folders = [Path(place) for place in os.environ.get(PLACES, "").split(os.pathsep) if place]
    folders += sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    found = {}
    for folder in folders:
        if (folder / "postgres").exists() and (folder / "initdb").exists():
            answer = subprocess.run([folder / "postgres", "--version"], capture_output=True, text=True, check=False)
            major = re.search(r"\(PostgreSQL\) (\d+)", answer.stdout)
            if major and int(major[1]) in SUPPORTED_MAJORS:
                found[int(major[1])] = str(folder)
    with contextlib.suppress(PartMissing):
        found[find_binaries().major] = os.environ.get(VARIABLE)
    return dict(sorted(found.items()))
