"""How the proxy itself is set up; constant while it runs. Pure."""

from dataclasses import dataclass
from pathlib import Path

from router.errors import BadRoute


@dataclass(frozen=True, kw_only=True)
class ProxyOptions:
    """`listen` takes the clients, `admin` (keep it on loopback) the operators: `host:port` each.

    `trusted_ca`: certificates that https backends are checked against. `access_log`: a file that gets one JSON line
    a request with the version of the table that routed it; None writes none.
    """

    listen: str = "127.0.0.1:8080"
    admin: str = "127.0.0.1:9901"
    node_id: str = "strangler"
    trusted_ca: str = "/etc/ssl/certs/ca-certificates.crt"
    access_log: str | None = None

    def __post_init__(self) -> None:
        for address in (self.listen, self.admin):
            host, _, port = address.rpartition(":")
            if not host or not port.isdigit() or not 0 < int(port) < 65536:
                raise BadRoute(thing=f"address {address!r}", reason="it is not host:port", mend="write 127.0.0.1:8080")


@dataclass(frozen=True, kw_only=True)
class ProxyFiles:
    """Where the files for one proxy lie. Each dynamic one has a folder of its own, as Envoy watches folders."""

    folder: Path

    @property
    def bootstrap(self) -> Path:
        return self.folder / "bootstrap.json"

    @property
    def listeners(self) -> Path:
        return self.folder / "lds" / "listeners.json"

    @property
    def clusters(self) -> Path:
        return self.folder / "cds" / "clusters.json"

    @property
    def routes(self) -> Path:
        return self.folder / "rds" / "routes.json"
