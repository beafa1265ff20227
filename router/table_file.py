"""The route table as a JSON file, changed only by compare-and-set on its version (X76)."""

import json
from dataclasses import asdict, replace
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from router.errors import BadTable, StaleTable
from router.locked_file import locked
from router.routes import RouteTable
from strangler.durable_files import replace_file

_ADAPTER = TypeAdapter(RouteTable)


class RouteTableFile:
    """Any number of readers; writers are serialised, and one that read an older version is refused."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def exists(self) -> bool:
        return self.path.exists()

    def load(self) -> RouteTable:
        """The whole table, or `BadTable` / `BadRoute` naming what is wrong in the file."""
        try:
            raw = self.path.read_bytes()
        except FileNotFoundError:
            raise BadTable(
                thing=str(self.path), reason="no such file", mend="install the routes of a move first"
            ) from None
        return parse_table(raw, str(self.path))

    def save(self, table: RouteTable, expected_version: int | None) -> RouteTable:
        """Store `table` as the version after `expected_version` (None: there is no file yet); returns it as stored.

        Raises `StaleTable` when the file is at another version: somebody else decided in between.
        """
        with locked(self.path):
            current = self.load().version if self.path.exists() else None
            if current != expected_version:
                raise StaleTable(
                    thing=str(self.path),
                    reason=f"it is at version {current}, not {expected_version} as when it was read",
                    mend="read it again and decide anew; only one runner may drive a move",
                )
            stored = replace(table, version=(current or 0) + 1)
            replace_file(self.path, _ADAPTER.dump_json(stored, indent=1).decode() + "\n", mode=0o600)
            return stored


def parse_table(raw: bytes, where: str) -> RouteTable:
    """A table from JSON. Unknown keys are errors: a misspelt share must not become 0."""
    try:
        table = _ADAPTER.validate_json(raw)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        key = ".".join(str(part) for part in first["loc"]) or "content"
        raise BadTable(thing=f"{where}: {key}", reason=first["msg"], mend="correct this key") from None
    written = json.loads(raw)
    if unknown := sorted(_unknown_keys(written, asdict(table), "")):
        raise BadTable(thing=f"{where}: {unknown[0]}", reason="no such key", mend="remove or correct it")
    return table


def _unknown_keys(written: object, known: object, prefix: str) -> list[str]:
    if isinstance(written, dict) and isinstance(known, dict):
        extra = [f"{prefix}{key}" for key in written if key not in known]
        nested = [_unknown_keys(written[key], known[key], f"{prefix}{key}.") for key in written if key in known]
        return extra + [each for part in nested for each in part]
    if isinstance(written, list) and isinstance(known, list | tuple):
        pairs = enumerate(zip(written, known, strict=True))
        return [key for at, (left, right) in pairs for key in _unknown_keys(left, right, f"{prefix}{at}.")]
    return []
