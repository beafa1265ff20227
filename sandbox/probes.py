"""Ready or not, asked over HTTP."""

import contextlib

import httpx

from sandbox.programs import Probe

_TIMEOUT_S = 2.0


def http_probe(url: str) -> Probe:
    """Whether `GET url` answers 200 now. Proxy settings of the environment are ignored: it is always loopback."""

    def answers() -> bool:
        with contextlib.suppress(httpx.TransportError):
            # Building TLS trust would cost more than the request, and nothing here speaks TLS.
            return httpx.get(url, timeout=_TIMEOUT_S, trust_env=False, verify=False).status_code == httpx.codes.OK
        return False

    return answers
