"""Python code, read and never run."""

from dataclasses import dataclass
from pathlib import Path

from migration_plans.gather.code_facts import CodeFunctionality
from migration_plans.gather.sql import SqlReader


@dataclass(frozen=True, kw_only=True, slots=True)
class ScannedCode:
    functionalities: tuple[CodeFunctionality, ...]
    not_understood: tuple[tuple[str, str], ...] = ()


def scan_code(folder: Path, *, reader: SqlReader) -> ScannedCode:
    return ScannedCode(functionalities=())
