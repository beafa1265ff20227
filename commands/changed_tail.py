"""What a source changed since a proof, read while nobody waits: in a cutover's hold only the rest is left to read."""

from collections.abc import Iterator

from cdc.changelog.port import ChangeLog
from cdc.events import TableName, Transaction
from cdc.lsn import Lsn
from cdc.mapping.compiled import CompiledMapping
from cdc.verify import ChangedKeys, changed_keys


class ChangedTail:
    """The keys that changed after `since`, by `mapping`, as far as they were read."""

    def __init__(self, since: Lsn, mapping: CompiledMapping) -> None:
        self.since, self.mapping = since, mapping
        self._position = since
        self._keys: dict[TableName, frozenset[tuple[str, ...]]] = {}
        self._truncated: frozenset[TableName] = frozenset()

    def read_on(self, log: ChangeLog) -> ChangedKeys:
        """All of them up to where the log goes now. Raises what reading raises; nothing counts as read then."""
        position = self._position

        def passing() -> Iterator[Transaction]:
            nonlocal position
            for transaction in log.read(position):
                yield transaction
                position = transaction.commit_lsn

        more = changed_keys(passing(), self.mapping)
        for table, keys in more.keys.items():
            self._keys[table] = self._keys.get(table, frozenset()) | keys
        self._truncated |= more.truncated
        self._position = position
        return ChangedKeys(keys=dict(self._keys), truncated=self._truncated)
