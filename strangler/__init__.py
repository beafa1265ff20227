"""Kernel: what every package may use. Settings, errors, clock, durable journal, failpoints.

Imports none of our other packages.
"""
