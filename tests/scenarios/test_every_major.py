"""The suites of the PostgreSQL source on a server of each major version, both ends of it: an hour's quarter, on demand.

`STRANGLER_TEST_ALL_MAJORS=1` runs it for all, `STRANGLER_TEST_ALL_MAJORS=13,14` for some. What every `make test` runs
on each major version is `test_postgres_majors`.
"""

import os
import re
import subprocess
import sys

import pytest

from sandbox.postgres_binaries import SUPPORTED_MAJORS, VARIABLE
from tests.postgres_majors import every_major, folder_of

pytestmark = [pytest.mark.integration, pytest.mark.timeout(1800)]

CHOICE = "STRANGLER_TEST_ALL_MAJORS"
SUITES = (
    "tests/contract/test_change_source.py",
    "tests/scenarios/test_capture_row_scenarios.py",
    "tests/scenarios/test_capture_stream_scenarios.py",
    "tests/scenarios/test_capture_connection_scenarios.py",
    "tests/scenarios/test_schema_scenarios.py",
    "tests/scenarios/test_partition_scenarios.py",
    "tests/scenarios/test_copy_scenarios.py",
    "tests/scenarios/test_verification.py",
    "tests/integration/test_source_provision.py",
    "tests/integration/test_tail.py",
    "tests/integration/test_worker_copy.py",
    "tests/integration/test_transfer_crashes.py",
)


def chosen(choice):
    """`13,14` → those; anything else that is set → all."""
    named = {int(number) for number in re.findall(r"\d\d", choice)} & set(SUPPORTED_MAJORS)
    return named or (set(SUPPORTED_MAJORS) if choice else set())


@pytest.mark.parametrize("major", every_major())
def test_source_copy_schema_and_transfer_on(major):
    if major not in chosen(os.environ.get(CHOICE, "")):
        pytest.skip(f"only on demand: set {CHOICE}")
    environment = {name: value for name, value in os.environ.items() if name not in (CHOICE, VARIABLE)}
    if (folder := folder_of(major)) is not None:
        environment[VARIABLE] = folder
    command = [sys.executable, "-m", "pytest", "-q", "-n", "2", "--dist", "loadfile", "-k", "not mariadb", *SUITES]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=1700)
    summary = "\n".join(done.stdout.splitlines()[-40:])
    assert done.returncode == 0, f"PostgreSQL {major}:\n{summary}\n{done.stderr[-2000:]}"
    print(f"PostgreSQL {major}: {summary.splitlines()[-1]}")
