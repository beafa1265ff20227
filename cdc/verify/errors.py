"""Why there is no verdict."""

from strangler.errors import Refused


class ReadFailed(Refused):
    """A side refused to be read: there is no verdict, and that is never the same as "equal" (V5)."""
