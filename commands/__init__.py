"""The command groups, and the wiring that joins `cdc`, `router` and `migration_plans`.

A command parses, calls one thing, prints.
"""
