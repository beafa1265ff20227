import socket
import sys

import pytest

from sandbox.ports import ReservedPorts, free_port


def test_no_port_is_handed_out_twice():
    with ReservedPorts() as reserved:
        ports = [free_port() for _ in range(100)] + list(reserved.take(100))
    assert len(set(ports)) == 200


@pytest.mark.skipif(sys.platform != "linux", reason="ports can be held under a server on Linux only")
def test_a_reserved_port_serves_its_program_and_nobody_else():
    with ReservedPorts() as reserved:
        (port,) = reserved.take(1)
        with socket.socket() as stranger, pytest.raises(OSError):
            stranger.bind(("127.0.0.1", port))
        for _restart in range(2):
            with (
                socket.create_server(("127.0.0.1", port)) as server,
                socket.create_connection(("127.0.0.1", port)) as client,
            ):
                accepted, caller = server.accept()
                accepted.close()
                assert caller == client.getsockname()


def test_closing_lets_the_ports_go():
    reserved = ReservedPorts()
    (port,) = reserved.take(1)
    reserved.close()
    reserved.close()
    with socket.socket() as anybody:
        anybody.bind(("127.0.0.1", port))
