"""The decisions file: YAML beside the facts, reviewed by a person and kept in git.

    services:
      orders: [order_lines, orders]
    pins:
      orders: [order_lines, orders]

Comments of the file survive when it is written anew; the order of keys is kept.
"""

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from migration_plans.assess.decisions import Decisions
from migration_plans.errors import BoundariesInvalid
from strangler.durable_files import replace_file

_KEYS = ("services", "pins")
_HEADING = "Where the services are cut: decided by a person, read by `strangler assess` and `strangler boundaries`."


def load_decisions(path: Path, *, may_be_absent: bool = False) -> Decisions:
    """Read decisions. Raises `BoundariesInvalid` naming the file and the place."""
    document = _load(path, may_be_absent=may_be_absent)
    for key in document:
        if key not in _KEYS:
            raise BoundariesInvalid(thing=f"{path}: {key}", reason="is not known", mend="give `services` and `pins`")
    services, pins = (_groups(path, key, document.get(key)) for key in _KEYS)
    return Decisions(services=services, pins=pins)


def save_decisions(path: Path, decisions: Decisions) -> None:
    """Write them, whole or not at all. What did not change keeps its form and its comments."""
    document = _load(path, may_be_absent=True)
    if not document:
        document.yaml_set_start_comment(_HEADING)
    for key, groups in (("services", decisions.services), ("pins", decisions.pins)):
        if not groups:
            document.pop(key, None)
            continue
        held = document.setdefault(key, CommentedMap())
        if held is None:
            held = document[key] = CommentedMap()
        for service in [service for service in held if service not in groups]:
            del held[service]
        for service, tables in groups.items():
            if list(held.get(service) or ()) != list(tables):
                row = CommentedSeq(tables)
                row.fa.set_flow_style()
                held[service] = row
    text = io.StringIO()
    yaml = YAML(typ="rt")
    yaml.width = 110
    yaml.dump(document, text)
    try:
        replace_file(path, text.getvalue())
    except OSError as error:
        raise BoundariesInvalid(
            thing=str(path), reason=f"cannot be written: {error.strerror}", mend="let its folder be written"
        ) from None


def _load(path: Path, *, may_be_absent: bool) -> CommentedMap:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        if may_be_absent:
            return CommentedMap()
        raise BoundariesInvalid(
            thing=str(path), reason="no such file", mend="`strangler boundaries move` or `pin` begins one"
        ) from None
    except UnicodeDecodeError as error:
        raise BoundariesInvalid(thing=str(path), reason=f"not UTF-8: {error.reason}", mend="save it as UTF-8") from None
    except OSError as error:
        raise BoundariesInvalid(
            thing=str(path), reason=f"not readable: {error.strerror}", mend="name a file that can be read"
        ) from None
    try:
        document = YAML(typ="rt").load(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark
        where = f"{path}:{mark.line + 1}:{mark.column + 1}" if mark else str(path)
        raise BoundariesInvalid(
            thing=where, reason=f"malformed YAML: {error.problem}", mend="correct it there"
        ) from None
    except (YAMLError, RecursionError) as error:
        raise BoundariesInvalid(thing=str(path), reason=f"malformed YAML: {error}", mend="correct it") from None
    if document is None:
        return CommentedMap()
    if not isinstance(document, CommentedMap):
        raise BoundariesInvalid(thing=str(path), reason="is not a mapping", mend="give `services: {name: [table, …]}`")
    return document


def _groups(path: Path, key: str, value: Any) -> Mapping[str, tuple[str, ...]]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise BoundariesInvalid(thing=f"{path}: {key}", reason="is not a mapping", mend="give service: [table, …]")
    result: dict[str, tuple[str, ...]] = {}
    for service, tables in value.items():
        if not isinstance(service, str) or not service:
            raise BoundariesInvalid(
                thing=f"{path}: {key}.{service}", reason="is no name of a service", mend="put it in quotes"
            )
        if not isinstance(tables, list) or not all(isinstance(table, str) for table in tables):
            raise BoundariesInvalid(
                thing=f"{path}: {key}.{service}", reason="is not a list of table names", mend="give [table, …]"
            )
        result[service] = tuple(map(str, tables))
    return result
