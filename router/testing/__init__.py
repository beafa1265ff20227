"""A real proxy, a real gate and two stand-in backends on loopback, for tests and benchmarks of route tables."""

from router.testing.rig import TrafficRig, running_rig

__all__ = ["TrafficRig", "running_rig"]
