"""Undoing a content encoding, with a limit on what comes out."""

import zlib

import brotli  # type: ignore[import-untyped]
import zstandard

from router.compare.errors import OversizedBody, UnreadableBody
from router.compare.values import Answer


def decoded_body(answer: Answer, max_bytes: int) -> bytes:
    """The body without its content encodings. Raises `UnreadableBody` or `OversizedBody`."""
    body = answer.body
    names = [name.strip().lower() for name in answer.header("content-encoding").split(",")]
    for name in reversed(names):
        if name in ("", "identity") or not body:
            continue
        body = _decode(name, body, max_bytes)
    return body


def _decode(name: str, body: bytes, max_bytes: int) -> bytes:
    try:
        match name:
            case "gzip" | "x-gzip":
                return _inflate(body, zlib.MAX_WBITS | 16, max_bytes)
            case "deflate":
                return _inflate(body, zlib.MAX_WBITS if body[0] & 0x0F == 8 else -zlib.MAX_WBITS, max_bytes)
            case "br":
                return _unbrotli(body, max_bytes)
            case "zstd":
                with zstandard.ZstdDecompressor().stream_reader(body, read_across_frames=True) as reader:
                    return _bounded(reader.read(max_bytes + 1), max_bytes)
    except (zlib.error, brotli.error, zstandard.ZstdError) as error:
        raise UnreadableBody(f"not {name}: {error}") from None
    raise UnreadableBody(f"content encoding {name!r} is not known")


def _inflate(body: bytes, window_bits: int, max_bytes: int) -> bytes:
    inflater = zlib.decompressobj(window_bits)
    plain = inflater.decompress(body, max_bytes + 1)
    if not inflater.eof and len(plain) <= max_bytes:
        raise UnreadableBody("compressed data ends early")
    return _bounded(plain, max_bytes)


def _unbrotli(body: bytes, max_bytes: int) -> bytes:
    decompressor = brotli.Decompressor()
    plain = bytearray()
    for start in range(0, len(body), 1024):
        plain += decompressor.process(body[start : start + 1024])
        _bounded(plain, max_bytes)
    if not decompressor.is_finished():
        raise UnreadableBody("compressed data ends early")
    return bytes(plain)


def _bounded(plain: bytes | bytearray, max_bytes: int) -> bytes:
    if len(plain) > max_bytes:
        raise OversizedBody(f"more than {max_bytes} bytes after decoding")
    return bytes(plain)
