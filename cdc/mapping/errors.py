"""What can go wrong with one row while it is mapped."""

from cdc.errors import ApplyFailed


class RowUnmappable(ApplyFailed):
    """A row holds a value for which the mapping has no exact answer; its key is in `thing`."""
