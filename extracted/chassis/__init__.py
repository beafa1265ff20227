"""What every extracted service shares: settings, an application factory, a database pool, errors and metrics.

A team can take this folder for services of its own; it knows nothing about any one of them.
"""
