"""The coupling report of `strangler assess` in the terminal."""

from collections.abc import Callable, Mapping
from typing import Any

from commands.output import stdout


def show_coupling(coupling: Mapping[str, list[dict[str, Any]]], show: Callable[..., None]) -> None:
    """One table for each kind of which there is any. `show`: prints headings, rows, and a title."""
    stdout.print()
    show(
        ("table", "owner", "written from", "for example"),
        [
            (entry["table"], entry["owner"], _calls(entry["calls"]), ", ".join(entry["examples"]))
            for entry in coupling["shared_writers"]
        ],
        title="tables written from other services",
    )
    show(
        ("kind", "name", "services", "tables", "advice"),
        [
            (entry["kind"], entry["name"], ", ".join(entry["services"]), ", ".join(entry["tables"]), entry["advice"])
            for entry in coupling["stored_code"]
        ],
        title="views, triggers and routines over several services",
    )
    show(
        ("table", "owner", "read from", "reads", "writes"),
        [
            (entry["table"], entry["owner"], ", ".join(entry["readers"]), f"{entry['reads']:g}", f"{entry['writes']:g}")
            for entry in coupling["reference_tables"]
        ],
        title="reference tables: each reader may keep a copy",
    )
    show(
        ("table", "owner", "columns by service", "changed by several"),
        [
            (
                entry["table"],
                entry["owner"],
                "; ".join(f"{service}: {', '.join(columns)}" for service, columns in entry["parts"].items()),
                ", ".join(entry["shared"]),
            )
            for entry in coupling["wide_tables"]
        ],
        title="tables whose columns belong to different services: split them",
    )
    show(
        ("service", "role", "reason"),
        [(entry["service"], entry["role"], entry["reason"]) for entry in coupling["roles"]],
        title="services named after a role",
    )
    show(
        ("functionality", "calls", "services", "switches"),
        [
            (entry["functionality"], f"{entry['calls']:g}", ", ".join(entry["services"]), entry["switches"])
            for entry in coupling["chatty"]
        ],
        title="functionalities that go to and fro: one coarser call each way",
    )


def _calls(calls: Mapping[str, float]) -> str:
    return ", ".join(f"{service} ({count:g})" for service, count in calls.items())
