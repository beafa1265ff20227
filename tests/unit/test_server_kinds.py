"""A process loads the drivers of the servers it talks to, and no others."""

import subprocess
import sys

import pytest

from cdc.server_kinds import is_mysql, is_postgresql


@pytest.mark.parametrize(
    ("dsn", "postgresql", "mysql"),
    [
        ("postgresql://host/d", True, False),
        ("postgres://host/d", True, False),
        ("host=a dbname=b", True, False),
        ("mysql://host/d", False, True),
        ("mariadb://host/d", False, True),
        ("sqlite:///file", False, False),
        ("postgresql+triggers://host/d", False, False),
    ],
)
def test_the_scheme_says_which_server_it_is(dsn, postgresql, mysql):
    assert (is_postgresql(dsn), is_mysql(dsn)) == (postgresql, mysql)


def test_a_worker_between_postgresql_servers_loads_no_other_driver():
    """They are a quarter of its memory, and what a large value needs comes on top."""
    loaded = "import commands.stream, cdc.provision, sys; print({'sqlalchemy', 'pymysql'} & sys.modules.keys())"
    said = subprocess.run([sys.executable, "-c", loaded], capture_output=True, text=True, check=True, timeout=120)
    assert said.stdout.strip() == "set()"
