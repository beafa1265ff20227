"""Between us and the server: TLS, a network that swallows everything, restarts, failover slots, standbys."""

import contextlib
import os
import pwd
import shutil
import socket
import subprocess
import threading
import uuid
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest
from psycopg import conninfo

from cdc.doctor import examine_source
from cdc.errors import DatabaseUnreachable, SlotInUse, SourceUnfit
from cdc.lsn import before_boundary
from cdc.postgres_source import PostgresSource, StreamLimits
from cdc.provision import deprovision_source, provision_source
from sandbox.postgres import create_database, postgres_probe, postgres_program, server_url, start_postgres
from sandbox.postgres_binaries import VARIABLE, find_binaries
from sandbox.supervision import Stack
from tests.capture import Capture, capturing
from tests.postgres_majors import servers

pytestmark = [pytest.mark.integration, pytest.mark.scenario]

DDL = "CREATE TABLE t (id int PRIMARY KEY, v text)"


@pytest.fixture
def source(postgres_url):
    url = create_database(postgres_url, f"connection_{uuid.uuid4().hex[:8]}")
    with capturing(url, DDL, "t", stream=f"strangler_t{uuid.uuid4().hex[:8]}_forward") as made:
        yield made


def ids(transactions):
    return [[change.new[0] for change in transaction.changes] for transaction in transactions]


class SwallowingProxy:
    """A TCP relay whose network can go black: bytes are taken and never passed on, nobody is told."""

    def __init__(self, url):
        parts = urlsplit(url)
        self._to = (parts.hostname, parts.port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = parts._replace(netloc=f"{parts.username}@127.0.0.1:{self._listener.getsockname()[1]}").geturl()
        self.black = threading.Event()
        self._sockets = [self._listener]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(self._to)
                self._sockets += [client, server]
                for ends in ((client, server), (server, client)):
                    threading.Thread(target=self._relay, args=ends, daemon=True).start()

    def _relay(self, reading, writing):
        with contextlib.suppress(OSError):
            while data := reading.recv(65536):
                if not self.black.is_set():
                    writing.sendall(data)
            if not self.black.is_set():
                writing.shutdown(socket.SHUT_WR)

    def close(self):
        for one in self._sockets:
            one.close()


def test_T16_a_network_that_swallows_everything_is_noticed_and_nothing_is_lost(source):
    proxy = SwallowingProxy(source.url)
    limits = StreamLimits(silence_limit_s=2.0, status_interval_s=0.2)
    names = {"slot": source.stream, "publication": source.stream, "position": source.start}
    with contextlib.closing(proxy), contextlib.closing(PostgresSource(proxy.url, **names, limits=limits)) as capture:
        capture.open()
        source.execute("INSERT INTO t VALUES (1)")
        assert ids(source.drain(capture)) == [["1"]]
        proxy.black.set()
        source.execute("INSERT INTO t VALUES (2)")
        with pytest.raises(DatabaseUnreachable, match="silent"):
            while True:
                assert capture.poll(0.5) == []
    # The server may not have noticed yet that the reader is gone: that is told apart, and passes.
    with contextlib.suppress(SlotInUse), contextlib.closing(source.open()) as capture:
        capture.open()
    source.execute(f"SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots "
                   f"WHERE slot_name = '{source.stream}' AND active")  # fmt: skip
    assert ids(source.captured()) == [["1"], ["2"]]


def test_T16_a_peer_that_vanished_is_noticed_by_the_system_too(source):
    with source.open() as capture:
        descriptor = capture._stream._connection._pgconn.socket
        with socket.socket(fileno=os.dup(descriptor)) as wire:
            assert wire.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
            assert wire.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 30_000
            assert wire.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 15


def test_T11_while_only_the_neighbours_write_the_slot_lets_go_of_their_log(source):
    """Both positions move: what was confirmed, and from where the server keeps its log."""
    slot = f"SELECT {{}} FROM pg_replication_slots WHERE slot_name = '{source.stream}'"
    source.execute("CREATE TABLE neighbour (id int, v text)")
    before = [source.lsn(slot.format(name)) for name in ("confirmed_flush_lsn", "restart_lsn")]
    with source.open() as capture:
        for round_ in range(200):
            source.execute("INSERT INTO neighbour SELECT g, repeat('x', 100) FROM generate_series(1, 1000) g")
            source.execute("CHECKPOINT")  # logs which transactions run, from which the server moves restart_lsn
            assert source.drain(capture) == []
            capture.acknowledge(capture.delivered_through.lsn)
            capture.report()
            after = [source.lsn(slot.format(name)) for name in ("confirmed_flush_lsn", "restart_lsn")]
            if round_ > 2 and all(later > earlier + 100_000 for earlier, later in zip(before, after, strict=True)):
                break
        else:
            raise AssertionError(f"the slot stays at {after}, from {before}")


def test_a_server_that_restarts_is_read_on_from_where_it_was():
    """A fast shutdown waits until every reader has confirmed all of the log: ours must not keep it waiting."""
    with Stack() as stack:
        url = create_database(start_postgres(stack, settings={"fsync": "off"}), "restarted")
        source = Capture(url, DDL, ["t"], "strangler_restarted_forward")
        restarting = threading.Thread(target=stack.restart, args=["postgres"])
        with source.open() as capture:
            source.execute("INSERT INTO t VALUES (1)")
            assert ids(source.drain(capture)) == [["1"]]
            restarting.start()
            with pytest.raises(DatabaseUnreachable):
                while True:
                    assert capture.poll(0.1) == []
                    capture.acknowledge(capture.delivered_through.lsn)
        restarting.join()
        source.database.close()
        source.database = psycopg.connect(url, autocommit=True)
        log = stack.log_path("postgres").read_text()
        assert "received fast shutdown request" in log
        assert "database system was shut down at" in log
        source.execute("INSERT INTO t VALUES (2)")
        found = source.captured(capture.acknowledged)
        assert ids(one for one in found if one.commit_lsn > capture.acknowledged) == [["2"]]
        source.close()


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    """Folder with `ca.crt`, and `server.crt`/`server.key` that it signed for localhost; `other.crt` signed nothing."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("no openssl to make certificates with")
    folder = tmp_path_factory.mktemp("tls")

    def run(*arguments):
        subprocess.run([openssl, *arguments], cwd=folder, check=True, capture_output=True)

    new = ("req", "-newkey", "rsa:2048", "-nodes", "-days", "2")
    for name in ("ca", "other"):
        run(*new, "-x509", "-keyout", f"{name}.key", "-out", f"{name}.crt", "-subj", f"/CN={name}")
    run(*new, "-keyout", "server.key", "-out", "server.csr", "-subj", "/CN=localhost")
    run("x509", "-req", "-in", "server.csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial",
        "-days", "2", "-out", "server.crt")  # fmt: skip
    return folder


def test_tls_verified_to_the_name_for_both_connections_as_the_url_says(authority, monkeypatch):
    folder = next(filter(has_tls, servers().values()), None)
    if folder is None:
        pytest.skip("no server here is built with TLS")
    monkeypatch.setenv(VARIABLE, folder)
    with Stack() as stack:
        (port,) = stack.reserve_ports(1)
        program = postgres_program(stack.folder, port=port, settings={"fsync": "off", "ssl": "on"})
        data = stack.folder / "postgres" / "data"
        for name in ("server.crt", "server.key"):
            shutil.copy(authority / name, data / name)
            (data / name).chmod(0o600)
            shutil.chown(data / name, data.stat().st_uid, data.stat().st_gid)
        (data / "pg_hba.conf").write_text("hostssl all all 127.0.0.1/32 trust\n")
        url = f"{server_url(port)}?sslmode=require"
        stack.run(replace(program, ready=postgres_probe(url)))
        verified = conninfo.make_conninfo(
            "", host="localhost", hostaddr="127.0.0.1", port=port, user="postgres", dbname="postgres",
            sslmode="verify-full", sslrootcert=str(authority / "ca.crt"),
        )  # fmt: skip
        with capturing(verified, DDL, "t") as source:
            source.execute("INSERT INTO t VALUES (1)")
            with source.open() as capture:
                assert ids(source.drain(capture)) == [["1"]]
                assert capture._stream._connection._pgconn.ssl_in_use
            assert all(finding.ok for finding in examine_source(verified, source.tables, stream=source.stream))
            for wrong in ({"sslrootcert": str(authority / "other.crt")}, {"host": "elsewhere"}, {"sslmode": "disable"}):
                refused = conninfo.make_conninfo(verified, **wrong)
                if "sslmode" in wrong:
                    refused = conninfo.make_conninfo(url, sslmode="disable")
                with pytest.raises(DatabaseUnreachable):
                    PostgresSource(refused, slot=source.stream, publication=source.stream, position=0).open()


def has_tls(folder):
    """Whether the server in this folder is linked with a TLS library."""
    if folder is None:
        return False
    if not Path(folder, "pg_config").exists():
        return False
    answer = subprocess.run([f"{folder}/pg_config", "--configure"], capture_output=True, text=True, check=False)
    linked = subprocess.run(["ldd", f"{folder}/postgres"], capture_output=True, text=True, check=False)
    return "openssl" in answer.stdout or "libssl" in linked.stdout


def test_T15_a_slot_may_outlive_a_failover_and_the_doctor_says_whether(source):
    version = source.database.info.server_version // 10_000
    (finding,) = [one for one in examine_source(source.url, source.tables, stream=source.stream) if one.check == "slot"]
    assert "not kept on standbys" in finding.reason
    other = source.stream.replace("_forward", "_kept")
    provision_source(source.url, other, source.tables, failover=True)
    (finding,) = [one for one in examine_source(source.url, source.tables, stream=other) if one.check == "slot"]
    assert ("sync_replication_slots" if version >= 17 else "this server cannot") in finding.reason
    deprovision_source(source.url, other)


def start_standby(stack, primary):
    """A physical standby of the server at `primary`, streaming from it; its URL."""
    binaries = find_binaries()
    if not (binaries.folder / "pg_basebackup").exists():
        pytest.skip("no pg_basebackup beside this server")
    home = stack.folder / "standby"
    home.mkdir(mode=0o700)
    if binaries.user is not None:
        account = pwd.getpwnam(binaries.user)
        os.chown(home, account.pw_uid, account.pw_gid)
    (port,) = stack.reserve_ports(1)
    command = [
        binaries.folder / "pg_basebackup",
        "-d",
        primary,
        "-D",
        home / "data",
        "-R",
        "--checkpoint=fast",
        "--no-sync",
    ]
    subprocess.run(command, check=True, capture_output=True, user=binaries.user, cwd=home, timeout=60)
    settings = {"fsync": "off", "hot_standby_feedback": "on"}
    stack.run(postgres_program(stack.folder, name="standby", port=port, settings=settings))
    return server_url(port)


def test_a_standby_is_followed_with_a_publication_of_its_primary():
    with Stack() as stack:
        primary = create_database(start_postgres(stack, settings={"fsync": "off"}), "app")
        with psycopg.connect(primary, autocommit=True) as database:
            if database.info.server_version < 160_000:
                pytest.skip("standbys decode from PostgreSQL 16 on")
            database.execute(DDL)
            database.execute(
                "CREATE PUBLICATION strangler_s_forward FOR TABLE t WITH (publish_via_partition_root = true)"
            )
            standby = urlsplit(start_standby(stack, primary))._replace(path="/app").geturl()
            names = {finding.check: finding for finding in examine_source(standby, []) if not finding.ok}
            assert "pg_log_standby_snapshot" in names["primary_server"].mend
            with pytest.raises(SourceUnfit, match="standby"):
                provision_source(standby, "strangler_s_forward", [])
            start = standby_slot(standby, database)
            database.execute("INSERT INTO t SELECT g, repeat('x', 200) FROM generate_series(1, 3000) g")
            database.execute("INSERT INTO t VALUES (0, 'last')")
            names = {"slot": "strangler_s_forward", "publication": "strangler_s_forward"}
            limits = StreamLimits(memory_bytes=100_000)
            with PostgresSource(standby, **names, position=before_boundary(start), limits=limits) as capture:
                found = []
                while len(found) < 2:
                    found += capture.poll(1)
            assert [len(one.changes) for one in found] == [3000, 1]


def standby_slot(standby, primary):
    """Where the slot starts. Making it waits for the primary to log which transactions run."""
    done = threading.Event()
    query = "SELECT lsn - '0/0'::pg_lsn FROM pg_create_logical_replication_slot('strangler_s_forward', 'pgoutput')"

    def nudge():
        while not done.wait(0.2):
            primary.execute("SELECT pg_log_standby_snapshot()")

    nudging = threading.Thread(target=nudge)
    nudging.start()
    try:
        with psycopg.connect(standby, autocommit=True) as connection:
            return int(connection.execute(query).fetchone()[0])
    finally:
        done.set()
        nudging.join()
