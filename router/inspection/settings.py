"""What the inspection process is told on its command line."""

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from router.inspection.errors import BadInspectionOption


@dataclass(frozen=True, kw_only=True)
class InspectionSettings:
    """`control` and `candidate` are base URLs; port 0 listens on any free port. Times in seconds, sizes in bytes.

    `confirm_delays_s` are the waits before each time a mismatch is asked again; `paired_share` of the compared
    requests ask legacy twice, to calibrate; `max_inflight` bounds requests being shadowed, `max_confirming` those being
    asked again.
    """

    listen_host: str
    listen_port: int
    control: str
    candidate: str
    record: Path
    rules: Path | None = None
    move: str = ""
    max_inflight: int = 64
    max_confirming: int = 32
    timeout_s: float = 5.0
    body_limit: int = 1 << 20
    confirm_delays_s: tuple[float, ...] = (0.1, 0.5, 2.0)
    paired_share: float = 0.02
    seed: int | None = None

    def __post_init__(self) -> None:
        for option, url in (("--control", self.control), ("--candidate", self.candidate)):
            parts = urlsplit(url)
            if parts.scheme not in ("http", "https") or not parts.hostname or parts.path not in ("", "/"):
                raise BadInspectionOption(
                    thing=f"{option} {url!r}",
                    reason="is not a base URL",
                    mend="write http://host:port or https://host:port, without a path",
                )
        if self.max_inflight < 1 or self.max_confirming < 1 or self.timeout_s <= 0 or self.body_limit < 1:
            raise BadInspectionOption(
                thing="a limit", reason="is not positive", mend="give every limit a value above zero"
            )
        if not 0 <= self.paired_share <= 1:
            raise BadInspectionOption(
                thing=f"--paired-share {self.paired_share}", reason="is not a share", mend="give a number from 0 to 1"
            )


def parse_listen(text: str) -> tuple[str, int]:
    """`HOST:PORT` (IPv6 hosts in brackets). Raises `BadInspectionOption`."""
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal() or int(port) > 65535:
        raise BadInspectionOption(thing=f"--listen {text!r}", reason="is not HOST:PORT", mend="write 127.0.0.1:9903")
    return host.strip("[]"), int(port)
