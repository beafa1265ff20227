"""Alembic runs this file for every command."""

from extracted.chassis.migration import run_in_environment

run_in_environment()
