"""Capture by triggers, for a PostgreSQL whose log is not to be had (no logical decoding, no replication role).

Costs the application a trigger per row, in its own transactions. `install` makes and removes what it needs, `source` is
the port's implementation, `rows` (pure) takes the rows of the change table to transactions.
"""
