"""Measurements against references that run in the same invocation. `python -m benchmarks [NAME]`; one module a case."""
