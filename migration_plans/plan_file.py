"""Reading a plan: YAML to `Plan`, with the line of whatever is wrong."""

import difflib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError

from migration_plans.errors import PlanInvalid
from migration_plans.plan import Plan


def load_plan(path: Path) -> Plan:
    """Read a plan. Raises `PlanInvalid` naming file, line and key."""
    try:
        text = path.read_text()
    except FileNotFoundError:
        raise PlanInvalid(
            thing=str(path), reason="no such file", mend="set services.<name>.plan in strangler.toml to the plan's path"
        ) from None
    except UnicodeDecodeError as error:
        raise PlanInvalid(thing=str(path), reason=f"not UTF-8: {error}", mend="save the file as UTF-8") from None
    try:
        document = YAML(typ="rt").load(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark
        where = f"{path}:{mark.line + 1}:{mark.column + 1}" if mark else str(path)
        raise PlanInvalid(
            thing=where, reason=f"malformed YAML: {error.problem}", mend="correct the syntax there; nothing was read"
        ) from None
    if not isinstance(document, dict):
        raise PlanInvalid(
            thing=str(path),
            reason="the file is not a mapping of keys",
            mend="start from migration_plans/catalog.yaml, which is the commented example",
        )
    try:
        return Plan.model_validate(document)
    except ValidationError as error:
        raise _first_problem(path, document, error) from None


def _first_problem(path: Path, document: Any, error: ValidationError) -> PlanInvalid:
    problem = error.errors()[0]
    key = [part for part in problem["loc"] if not (isinstance(part, str) and part.startswith("function-"))]
    where = ".".join(str(part) for part in key)
    mend = f"correct `{where}`; migration_plans/catalog.yaml shows every key"
    if problem["type"] == "extra_forbidden" and (close := _did_you_mean(str(key[-1]), Plan.model_fields)):
        mend = f"did you mean `{close}`?"
    reason = problem["msg"].removeprefix("Value error, ")
    return PlanInvalid(thing=f"{path}:{_line_of(document, key)}: {where}", reason=reason, mend=mend)


def _did_you_mean(word: str, known: Iterable[str]) -> str | None:
    matches = difflib.get_close_matches(word, list(known), n=1)
    return matches[0] if matches else None


def _line_of(document: Any, key: list[Any]) -> int:
    """1-based line of the deepest part of `key` that the document has."""
    line = 1
    node = document
    for part in key:
        try:
            marks = node.lc.data
            line = marks[part][0] + 1
            node = node[part]
        except (AttributeError, KeyError, IndexError, TypeError):
            break
    return line
