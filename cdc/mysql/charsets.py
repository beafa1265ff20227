"""Character sets of MySQL and MariaDB as Python codecs. Pure.

Only those whose every byte decodes as the server itself converts it to Unicode (compared byte by byte, see
`tests/integration/test_mariadb_values.py`); the others are refused by name.
"""

import codecs
from collections.abc import Callable
from typing import Final

BINARY: Final = "binary"

_CODECS: Final = {
    **dict.fromkeys(("utf8mb4", "utf8mb3", "utf8"), "utf-8"),
    "ascii": "ascii",
    "ucs2": "utf-16-be",
    "utf16": "utf-16-be",
    "utf16le": "utf-16-le",
    "utf32": "utf-32-be",
    "latin2": "iso8859-2",
    "latin5": "iso8859-9",
    "latin7": "iso8859-13",
    "hp8": "hp-roman8",
    **{name: name for name in ("cp1250", "cp1251", "cp1257", "cp850", "cp852", "cp932", "gb2312", "gbk")},
    "koi8r": "koi8-r",
    "tis620": "tis-620",
    "macroman": "mac-roman",
    "macce": "mac-latin2",
    "euckr": "cp949",
}

SUPPORTED: Final = frozenset({*_CODECS, "latin1"})

_LATIN1_TABLE: Final = "".join(
    chr(byte) if byte in (0x81, 0x8D, 0x8F, 0x90, 0x9D) else bytes([byte]).decode("cp1252") for byte in range(256)
)
"""The server's latin1 is Windows-1252 with its five holes filled by the control characters of the same number."""


def text_decoder(charset: str) -> Callable[[bytes], str] | None:
    """Bytes → text, raising `UnicodeDecodeError`; None for a character set that is not supported."""
    if charset == "latin1":
        return lambda data: codecs.charmap_decode(data, "strict", _LATIN1_TABLE)[0]
    name = _CODECS.get(charset)
    if name is None:
        return None
    return lambda data: str(data, name)
