"""What to move, in which order, and may we go on: plan, phases, gates, ownership, cutover.

Imports only the kernel (`strangler`) of ours; reaches stream and traffic through the Protocols in
`migration_plans.ports`.
"""
