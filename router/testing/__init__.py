"""A real proxy, a real gate, two stand-in backends and a load on loopback, for tests and benchmarks of route tables."""

from router.testing.load import Load, Outcome, running_load
from router.testing.rig import TOKEN, TrafficRig, running_rig

__all__ = ["TOKEN", "Load", "Outcome", "TrafficRig", "running_load", "running_rig"]
