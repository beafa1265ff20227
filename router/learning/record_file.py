"""The record as a file: lines that are whole or absent, readable by its owner alone."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from router.learning.errors import RecordExists, RecordNotWritable

_PRIVATE = 0o600
_BLOCK = 1 << 16


def prepare_record(path: Path, *, appends: bool) -> tuple[int, int]:
    """Make the file, or make an earlier one ready to be gone on with. Returns its size, and what was cut off its end.

    A recorder that was killed may have left half a line, which is cut off. Raises `RecordExists` where there is a
    record and `appends` is false, and `RecordNotWritable`.
    """
    try:
        with os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, _PRIVATE), "r+b") as file:
            size = file.seek(0, os.SEEK_END)
            if size and not appends:
                raise RecordExists(
                    thing=str(path),
                    reason="is not empty",
                    mend="choose another file, or go on with this one by --append",
                )
            whole = _end_of_last_line(path, size)
            file.truncate(whole)
            return whole, size - whole
    except OSError as error:
        raise _not_writable(path, error) from None


def _end_of_last_line(path: Path, size: int) -> int:
    """Bytes up to and with the last line feed."""
    with path.open("rb") as file:
        end = size
        while end > 0:
            begin = max(0, end - _BLOCK)
            file.seek(begin)
            found = file.read(end - begin).rfind(b"\n")
            if found >= 0:
                return begin + found + 1
            end = begin
    return 0


class RecordFile:
    """A prepared record that is being written. One write a line, so that a kill leaves whole lines."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
        except OSError as error:
            raise _not_writable(path, error) from None

    def write(self, line: Mapping[str, Any]) -> None:
        """Add one line. Raises `RecordNotWritable`."""
        data = json.dumps(line, separators=(",", ":")).encode() + b"\n"
        try:
            while data:
                data = data[os.write(self._descriptor, data) :]
        except OSError as error:
            raise _not_writable(self._path, error) from None

    def close(self) -> None:
        os.close(self._descriptor)


def _not_writable(path: Path, error: OSError) -> RecordNotWritable:
    return RecordNotWritable(
        thing=str(path),
        reason=error.strerror or "cannot be written",
        mend="name a file in a folder that you may write to, on a disk with room",
    )
