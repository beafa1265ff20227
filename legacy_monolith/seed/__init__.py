"""Seeded data for the store: the same seed and scale make the same rows, byte for byte."""
