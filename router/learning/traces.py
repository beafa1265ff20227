"""W3C Trace Context: which `traceparent` is valid, and a new one. Pure."""

import re
from typing import Final

_VALID: Final = re.compile(
    r"(?!ff)(?P<version>[0-9a-f]{2})-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?P<more>-.*)?"
)


def is_valid(traceparent: str) -> bool:
    """Lower case, no id of zeros, not version ff; more than four parts only from version 01 on (X68)."""
    match = _VALID.fullmatch(traceparent)
    return match is not None and (match["more"] is None or match["version"] != "00")


def traceparent_of(fresh: str) -> str:
    """A sampled `traceparent` from 32 random hex digits: what instruments an application then writes comments."""
    return f"00-{fresh}-{fresh[:16]}-01"
