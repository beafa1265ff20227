"""Rows that the target refuses wait with their key, and what depends on them waits behind; everything else goes on."""
