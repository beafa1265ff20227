"""What can go wrong in deciding who answers a request, and what a person does about it."""

from strangler.errors import BadInput, Refused, TooBusy, Unreachable


class BadRoute(BadInput):
    """A route rule, sticky key, share or backend is written wrongly."""


class BadTable(BadInput):
    """A route table or gate file does not have the shape it must have."""


class CollidingRoutes(BadInput):
    """Two rules claim the same method and path template."""


class UnservedRoute(BadInput):
    """A route names a service, inspection plane or gate that the table does not have: nobody would serve it."""


class UnknownMove(BadInput):
    """A move was named that is not in the route table."""


class StaleTable(Refused):
    """Somebody else changed the file since it was read; the write was not done."""


class UnsafeTraffic(Refused):
    """The change would send writes to two sides, or past the closed gate."""


class ConfigRejected(Refused):
    """The proxy refused the configuration and goes on with the one before."""


class ConfigUnread(TooBusy):
    """The proxy could not read a file of its configuration, and goes on with the one before."""


class DrainTimeout(TooBusy):
    """Writes were still in flight when the time for draining ran out."""


class GateSilent(Unreachable):
    """The write gate does not answer, or has not taken note of the wanted state in time."""


class ProxySilent(Unreachable):
    """The proxy's admin interface does not answer, or the proxy has not applied a table in time."""
