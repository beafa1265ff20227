"""Schema changes of source tables while they are being followed: what changed, whether it may be followed, and how.

A table's *form* is its columns as the stream met them. Forms are kept in the target, in log order, in the transaction
that brings the target along; the mapping in force is the plan's mapping carried through them.
"""
