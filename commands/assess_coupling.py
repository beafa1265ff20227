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
        ("locked", "owner", "locked from", "calls a row", "held", "for example", "advice"),
        [
            (
                f"{entry['table']} {', '.join(entry['strengths'])}".strip(),
                entry["owner"],
                _calls(entry["calls"]),
                "" if entry["calls_per_row"] is None else f"{entry['calls_per_row']:g}",
                "" if entry["held_ms"] is None else f"{entry['held_ms']:g} ms",
                ", ".join(entry["examples"]),
                entry["advice"],
            )
            for entry in coupling["hot_locks"]
        ],
        title="hot locks: rows that several wait for",
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
        ("service", "role", "not about it", "reason"),
        [
            (entry["service"], entry["role"], ", ".join(entry["foreign"]), entry["reason"])
            for entry in coupling["roles"]
        ],
        title="services named after a role",
    )
    show(
        ("functionality", "calls", "changes of service", "its way"),
        [
            (entry["functionality"], f"{entry['calls']:g}", entry["switches"], _way(entry))
            for entry in coupling["chatty"]
        ],
        title="functionalities that go to and fro: one coarser call each way",
    )


def _way(entry: Mapping[str, Any]) -> str:
    more = entry["switches"] + 1 - len(entry["path"])
    return " → ".join(entry["path"]) + (f" → … {more} more" if more else "")


def _calls(calls: Mapping[str, float]) -> str:
    return ", ".join(f"{service} ({count:g})" for service, count in calls.items())
