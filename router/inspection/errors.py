"""What can go wrong around the inspection plane and its record."""

from strangler.errors import BadInput, Refused, Unreachable


class BadInspectionOption(BadInput):
    """An option of the inspection process, or a key of its rule file, is wrong."""


class BadRecordFile(BadInput):
    """The record of the parallel run cannot be opened, or another program's file is in its place."""


class RecordBusy(Refused):
    """The record stayed locked by another process."""


class RecordNotWritten(Unreachable):
    """The record could not be written: disk full, file gone or damaged."""


class ListenerNotOpened(Unreachable):
    """The inspection process cannot listen where it should."""
