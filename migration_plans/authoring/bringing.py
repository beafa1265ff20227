"""Which types, functions and collations the service's database gets, in which order, and which it cannot have. Pure."""

from collections.abc import Iterable, Iterator, Mapping

from migration_plans.authoring.legacy_schema import Brought, Extension, Needs


class Bringing:
    """Asked of each definition in turn, it notes what those that can be made need."""

    def __init__(self, objects: Mapping[str, Brought], extensions: Mapping[str, Extension]) -> None:
        self._objects = objects
        self._extensions = extensions
        self._wanted: dict[str, None] = {}

    def why_not(self, needs: Needs) -> str:
        """Why something with these needs cannot be made; empty when it can, and then its needs are brought."""
        reasons = [reason for key in sorted(needs) if (reason := self._why_not(key, ()))]
        if reasons:
            return "; ".join(reasons)
        self._wanted |= dict.fromkeys(sorted(needs))
        return ""

    def made(self) -> list[Brought]:
        """All that is wanted and does not come with an extension, what others need first."""
        return [brought for brought in self._in_order() if brought.extension is None]

    def extensions(self) -> list[Extension]:
        """Those that are wanted, what others require first."""
        wanted = {brought.extension for brought in self._in_order() if brought.extension is not None}
        found: dict[str, Extension] = {}
        for name in sorted(wanted):
            self._require(name, found)
        return list(found.values())

    def _require(self, name: str, found: dict[str, Extension]) -> None:
        extension = self._extensions[name]
        for required in extension.requires:
            self._require(required, found)
        found.setdefault(name, extension)

    def _why_not(self, key: str, asked: tuple[str, ...]) -> str:
        brought = self._objects[key]
        if brought.extension is not None or key in asked:
            return ""
        if brought.why_not:
            return f"{key} {brought.why_not}"
        inner = (self._why_not(need, (*asked, key)) for need in sorted(brought.needs))
        return next((f"{key} needs {reason}" for reason in inner if reason), "")

    def _in_order(self) -> Iterator[Brought]:
        done: set[str] = set()
        for key in self._wanted:
            yield from self._after_needs(key, done)

    def _after_needs(self, key: str, done: set[str]) -> Iterable[Brought]:
        if key in done:
            return
        done.add(key)
        brought = self._objects[key]
        if brought.extension is None:
            for need in sorted(brought.needs):
                yield from self._after_needs(need, done)
        yield brought
