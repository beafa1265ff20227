"""What a recording is told. Pure."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from router.envoy.options import ProxyOptions
from router.learning.errors import BadRecording
from router.routes import Backend

DEFAULT_CA: Final = Path(ProxyOptions().trusted_ca)


@dataclass(frozen=True, kw_only=True, slots=True)
class RecordSettings:
    """`upstream` is the monolith's base URL, `listen` the `host:port` that clients are sent to meanwhile.

    `gives_traces`: a request without a valid `traceparent` gets one, marked as sampled. `trusted_ca`: certificates that
    an https upstream is checked against.
    """

    upstream: str
    out: Path
    listen: str = "127.0.0.1:8080"
    gives_traces: bool = True
    trusted_ca: str = str(DEFAULT_CA)

    def __post_init__(self) -> None:
        host, port = self.listen_address
        upstream = self.backend
        if (host, port) == (upstream.host, upstream.port):
            raise BadRecording(
                thing=f"--listen {self.listen}",
                reason="is the address of the monolith itself",
                mend="choose another port, and send the clients there while you record",
            )

    @property
    def backend(self) -> Backend:
        """The monolith. Raises `BadRoute` when its URL is none."""
        return Backend(name="legacy", url=self.upstream)

    @property
    def listen_address(self) -> tuple[str, int]:
        """Host without brackets, and port."""
        host, _, port = self.listen.rpartition(":")
        if not host or not port.isdecimal() or not 0 < int(port) < 65536:
            raise BadRecording(
                thing=f"--listen {self.listen!r}", reason="is not HOST:PORT", mend="write 127.0.0.1:8080"
            )
        return host.strip("[]"), int(port)

    @property
    def clients_url(self) -> str:
        """Where clients send requests while the recording lasts."""
        return f"http://{self.listen}"
