"""Python code, read and never run: SQLAlchemy and Django models, querysets, SQL texts, routes."""

import ast
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from migration_plans.gather.code_facts import CodeFunctionality
from migration_plans.gather.code_graph import CodeGraph
from migration_plans.gather.code_module import read_module
from migration_plans.gather.code_values import ModuleCode
from migration_plans.gather.sql import SqlReader

_LEFT_OUT: Final = frozenset(
    {"migrations", "tests", "test", "node_modules", "site-packages", "venv", ".venv", "versions"}
)
_MOST_BYTES: Final = 2_000_000
"""Of one file; longer ones are generated."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ScannedCode:
    """What the files of a folder seem to do."""

    functionalities: tuple[CodeFunctionality, ...]
    not_understood: tuple[tuple[str, str], ...] = ()
    """File and line, and why."""


def scan_code(folder: Path, *, reader: SqlReader) -> ScannedCode:
    """Read all Python files below a folder but tests and migrations. Files that do not parse are reported."""
    modules: list[ModuleCode] = []
    problems: list[tuple[str, str]] = []
    root = folder.resolve()
    # A package is named by its own folder, so that its absolute imports are found.
    base = root.parent if (root / "__init__.py").exists() else root
    for path in _files(root):
        shown = path.relative_to(base).as_posix()
        try:
            if path.stat().st_size > _MOST_BYTES:
                problems.append((shown, f"longer than {_MOST_BYTES} bytes"))
                continue
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                tree = ast.parse(path.read_bytes(), filename=shown)
            modules.append(read_module(tree, name=_dotted(path.relative_to(base)), file=shown))
        except (SyntaxError, ValueError, RecursionError, OSError) as error:
            problems.append((shown, str(error) or type(error).__name__))
    graph = CodeGraph(modules, reader)
    functionalities = graph.functionalities()
    return ScannedCode(functionalities=tuple(functionalities), not_understood=(*problems, *graph.not_understood))


def _files(root: Path) -> Iterator[Path]:
    for path in sorted(root.rglob("*.py")):
        parts = path.relative_to(root).parts
        if not _LEFT_OUT.intersection(parts[:-1]) and not parts[-1].startswith(("test_", "conftest")):
            yield path


def _dotted(path: Path) -> str:
    parts = [*path.parts[:-1], path.stem]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
