"""What can go wrong with the local parts."""

from strangler.errors import BadInput, Unreachable


class PartMissing(Unreachable):
    """A binary that a part needs (PostgreSQL, Envoy) is not installed, or cannot be run by the account it needs."""


class ProgramFailed(Unreachable):
    """A supervised program died, or did not get ready in time; the reason ends with the tail of its log."""


class SupervisorGone(Unreachable):
    """The supervisor of the stack did not start, does not answer, or was closed."""


class UnknownProgram(BadInput):
    """A name that was never added to the stack."""


class UnfitProgram(BadInput):
    """A program description that the supervisor could not express."""
