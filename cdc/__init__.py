"""Change data capture: source database → durable change log → target database, both ways.

Imports only the kernel (`strangler`) of ours. Pure modules (no I/O, clock or randomness) are listed in the import
contract.
"""
