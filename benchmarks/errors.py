"""What can go wrong with a measurement."""

from strangler.errors import BadInput, PromiseBroken


class UnknownBenchmark(BadInput):
    """A name that no benchmark has."""


class WrongResult(PromiseBroken):
    """What was measured did not do its work: rows, requests or writes are missing. Its speed means nothing."""
