"""The durable change log between capture and apply: one port, several implementations, one contract suite."""
