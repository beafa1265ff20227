"""Seeded load on the store's HTTP API, with a ledger from which every acknowledged write can be audited."""
