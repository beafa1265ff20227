"""What a crash suite can find."""

from strangler.errors import PromiseBroken, Unreachable


class ServerLost(Unreachable):
    """A killed server did not come back."""


class SidesDiffer(PromiseBroken):
    """After a catch-up a table is not the same on both sides."""


class NotCaughtUp(PromiseBroken):
    """A stream did not come back after a kill."""
