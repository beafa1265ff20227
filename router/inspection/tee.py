"""Keeps a copy of a body that is passed through: all of it up to a limit, beyond it only length and hash."""

import hashlib


class BodyTee:
    """Feed it every chunk; it never holds one back."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit = limit_bytes
        self._kept = bytearray()
        self._digest = hashlib.sha256()
        self.total_bytes = 0

    def __call__(self, chunk: bytes) -> bytes:
        self.total_bytes += len(chunk)
        self._digest.update(chunk)
        room = self._limit - len(self._kept)
        if room > 0:
            self._kept += chunk[:room]
        return chunk

    @property
    def body(self) -> bytes:
        return bytes(self._kept)

    @property
    def digest(self) -> str:
        """SHA-256 of everything fed, hex."""
        return self._digest.hexdigest()
