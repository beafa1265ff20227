"""How exchanges travel from the proxy process to the shadow process: length-prefixed pickles on a pipe of our own."""

import asyncio
import pickle
import struct

from router.inspection.exchange import Exchange
from router.inspection.settings import InspectionSettings
from router.parallel_values import NotCompared

Frame = InspectionSettings | Exchange | NotCompared
_LENGTH = struct.Struct(">I")


def pack(frame: Frame) -> bytes:
    body = pickle.dumps(frame, protocol=pickle.HIGHEST_PROTOCOL)
    return _LENGTH.pack(len(body)) + body


async def read_frame(reader: asyncio.StreamReader) -> Frame | None:
    """The next frame, or None at the end of the pipe (also if it ends inside a frame)."""
    try:
        (length,) = _LENGTH.unpack(await reader.readexactly(_LENGTH.size))
        frame: Frame = pickle.loads(await reader.readexactly(length))
    except asyncio.IncompleteReadError:
        return None
    return frame
