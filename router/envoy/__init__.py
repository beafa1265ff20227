"""Envoy as data plane: the table rendered to its resources, published as files, watched over its admin interface."""
