"""What can go wrong with a plan or on the way through its phases."""

from strangler.errors import BadInput, PromiseBroken, Refused, TooBusy, Unreachable


class PlanInvalid(BadInput):
    """The plan file is malformed or names something that does not exist."""


class PlanNotAuthored(BadInput):
    """A plan cannot be written for these tables: one is not there, or is of a kind that no plan can move."""


class FactsInvalid(BadInput):
    """The facts document is malformed or names a table that does not exist."""


class BoundariesInvalid(BadInput):
    """What a person decided about boundaries is malformed, contradicts itself, or does not fit the facts."""


class LogUnreadable(BadInput):
    """A server's log, or a record of requests, is not in the form that was said."""


class SourceUnreadable(Unreachable):
    """The database whose schema or statements are to be read does not answer, or refuses."""


class WrongPhase(Refused):
    """The move is not in a phase from which this can be done."""


class GateHeld(Refused):
    """A gate did not pass; nothing was changed."""


class OwnershipAmbiguous(Refused):
    """The two databases name different owners for the same epoch: a person has to decide."""


class OwnershipMoved(Refused):
    """Somebody else changed the owner since we looked."""


class FenceTimeout(TooBusy):
    """An open transaction kept the fence from being raised in time."""


class TransferAborted(Refused):
    """A cutover or rollback was undone before its point of no return; the giving side owns and serves as before."""


class TransferHeldUp(TransferAborted, TooBusy):
    """The same, and only because of the load at that moment."""


class Busy(Refused):
    """Another runner works on this move."""


class SidesDiffer(PromiseBroken):
    """A verification found differences."""
