"""What can go wrong while a monolith's traffic is recorded."""

from strangler.errors import BadInput, Refused, Unreachable


class BadRecording(BadInput):
    """An option of the recording is wrong, or two of them contradict each other."""


class RecordExists(Refused):
    """The file that was to be written holds a record already."""


class RecordNotWritable(Unreachable):
    """The record's file cannot be opened or written."""


class UpstreamSilent(Unreachable):
    """Nothing listens where the monolith is said to be."""
