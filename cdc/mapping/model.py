"""The mapping of one move, as values, and its inverse. Pure.

A source table feeds one or more target tables. The first is the *primary*; the further ones are 1:1 *splits*: each has
a row for every source row. A target that several source tables feed has one feeder that owns its rows; the others are
`partial`: they only fill columns of rows that the owner inserts and deletes. Inverting turns a split into partial
feeders and partial feeders into a split.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from cdc.errors import MappingInvalid
from cdc.events import TableName


def _nothing() -> Mapping[str, str]:
    return MappingProxyType({})


@dataclass(frozen=True, kw_only=True, slots=True)
class ColumnRule:
    """How one target column gets its value: from `source` (as it is, by `lookup`, `scale` or `unscale`) or `constant`.

    `lookup`: source text → target text; a value that is not in it is refused.
    `scale`/`unscale`: multiply / divide by this power of ten (100: `12.34` ↔ `1234`), exactly; scaling to a fraction
    is refused. NULL stays NULL under every rule.
    """

    target: str
    source: str | None = None
    lookup: Mapping[str, str] | None = None
    scale: int | None = None
    unscale: int | None = None
    constant: str | None = None

    def __post_init__(self) -> None:
        if (self.source is None) == (self.constant is None):
            self._refuse("needs either a source column or a constant", "give one of the two")
        if sum(rule is not None for rule in (self.lookup, self.scale, self.unscale, self.constant)) > 1:
            self._refuse("has more than one of lookup, scale, unscale and constant", "keep one")
        for factor in (self.scale, self.unscale):
            if factor is not None and (factor < 10 or str(factor).rstrip("0") != "1"):
                self._refuse(f"scale {factor} is not a power of ten", "use 10, 100, 1000 …")

    def _refuse(self, reason: str, mend: str) -> None:
        raise MappingInvalid(thing=f"mapping of column {self.target!r}", reason=reason, mend=mend)

    @property
    def plain(self) -> bool:
        """The value is carried over as it is."""
        return self.source is not None and self.lookup is None and self.scale is None and self.unscale is None

    @property
    def digits(self) -> int:
        """Decimal places that `scale` or `unscale` shifts by."""
        return len(str(self.scale or self.unscale or 1)) - 1


@dataclass(frozen=True, kw_only=True, slots=True)
class TargetMapping:
    """One target table of a source table. `added`: target columns that have no source, with the reason.

    `partial`: fills its columns in rows that another source table's mapping inserts and deletes.
    """

    table: TableName
    columns: tuple[ColumnRule, ...]
    partial: bool = False
    added: Mapping[str, str] = field(default_factory=_nothing)

    def rule(self, target: str) -> ColumnRule | None:
        return next((rule for rule in self.columns if rule.target == target), None)


@dataclass(frozen=True, kw_only=True, slots=True)
class TableMapping:
    """One source table. `dropped`: source columns that go nowhere, with the reason."""

    source: TableName
    targets: tuple[TargetMapping, ...]
    dropped: Mapping[str, str] = field(default_factory=_nothing)

    def __post_init__(self) -> None:
        if not self.targets:
            raise MappingInvalid(
                thing=f"mapping of table {self.source}", reason="names no target table", mend="add at least one target"
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class MoveMapping:
    """All moved tables, parents before children."""

    tables: tuple[TableMapping, ...]

    def __post_init__(self) -> None:
        seen: set[TableName] = set()
        for table in self.tables:
            if table.source in seen:
                raise MappingInvalid(
                    thing=f"mapping of table {table.source}", reason="named twice", mend="merge both entries"
                )
            seen.add(table.source)

    @property
    def source_tables(self) -> tuple[TableName, ...]:
        return tuple(table.source for table in self.tables)

    @property
    def target_tables(self) -> tuple[TableName, ...]:
        return tuple(dict.fromkeys(target.table for _, target in self.pairs()))

    def pairs(self) -> Iterator[tuple[TableMapping, TargetMapping]]:
        """Every (source table, one of its targets), in mapping order."""
        for table in self.tables:
            for target in table.targets:
                yield table, target

    def feeders(self, target: TableName) -> list[tuple[TableMapping, TargetMapping]]:
        """Who fills this target table: the owner of its rows first, then the partial ones."""
        found = [(table, mapping) for table, mapping in self.pairs() if mapping.table == target]
        return sorted(found, key=lambda pair: pair[1].partial)

    def inverse_problems(self) -> list[str]:
        """Why it cannot be reversed, one sentence each; empty when it can."""
        problems: list[str] = []
        for table, target in self.pairs():
            problems += [
                f"{table.source}.{rule.source} → {target.table}.{rule.target}: {clash}"
                for rule in target.columns
                for clash in _lookup_clashes(rule)
            ]
        for name in self.target_tables:
            owners = [str(table.source) for table, target in self.feeders(name) if not target.partial]
            if len(owners) > 1:
                problems.append(f"{name}: rows of {' and '.join(owners)} can not be told apart on the way back")
            if not owners:
                problems.append(f"{name}: only partial mappings feed it, none brings its rows")
        return problems

    def inverse(self) -> "MoveMapping":
        """The mapping of the way back. Raises `MappingInvalid` naming every column that cannot be reversed."""
        if problems := self.inverse_problems():
            raise MappingInvalid(
                thing="the way back",
                reason="; ".join(problems),
                mend="make each lookup one-to-one and give each target table one owning source table",
            )
        return MoveMapping(tables=tuple(self._invert(name) for name in self.target_tables))

    def _invert(self, name: TableName) -> TableMapping:
        targets: list[TargetMapping] = []
        dropped: dict[str, str] = {}
        for table, target in self.feeders(name):
            rules, left_over = _invert_columns(target)
            dropped |= dict(target.added) | left_over
            targets.append(
                TargetMapping(
                    table=table.source,
                    columns=rules,
                    partial=target is not table.targets[0],
                    added=table.dropped if target is table.targets[0] else _nothing(),
                )
            )
        return TableMapping(source=name, targets=tuple(targets), dropped=MappingProxyType(dropped))


def _lookup_clashes(rule: ColumnRule) -> Iterator[str]:
    first: dict[str, str] = {}
    for source, target in (rule.lookup or {}).items():
        if target in first:
            yield f"lookup maps both {first[target]!r} and {source!r} to {target!r}"
        first.setdefault(target, source)


def _invert_columns(target: TargetMapping) -> tuple[tuple[ColumnRule, ...], dict[str, str]]:
    """(rules of the way back, target columns that have nowhere to go with the reason)."""
    rules: dict[str, ColumnRule] = {}
    left_over: dict[str, str] = {}
    for rule in target.columns:
        if rule.source is None:
            left_over[rule.target] = f"constant {rule.constant!r}"
        elif rule.source in rules:
            left_over[rule.target] = f"second copy of {rule.source}; {rules[rule.source].source} is carried back"
        else:
            rules[rule.source] = ColumnRule(
                target=rule.source,
                source=rule.target,
                lookup={value: key for key, value in rule.lookup.items()} if rule.lookup else None,
                scale=rule.unscale,
                unscale=rule.scale,
            )
    return tuple(rules.values()), left_over
