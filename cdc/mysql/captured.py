"""Which tables a stream captures, by the server's rule for the case of names. Pure."""

from collections.abc import Callable, Iterable

from cdc.events import TableName
from cdc.mysql.statements import Statement


class CapturedTables:
    """`schema` of each is its database. `lower_case`: the server takes names for equal whatever their case."""

    def __init__(self, tables: Iterable[TableName], *, lower_case: bool) -> None:
        self._lower = lower_case
        self._tables = {self._cased(table.schema, table.name): table for table in tables}

    def find(self, database: str, name: str) -> TableName | None:
        return self._tables.get(self._cased(database, name))

    def first_gone(self, statement: Statement) -> TableName | None:
        """A captured table that a DROP or RENAME names, itself or with its whole database."""
        gone = {self._cased(database, name) for database, name in statement.names}
        return self._first(lambda table: gone & {self._cased(table.schema, table.name), self._cased(table.schema, "*")})

    def first_maybe_changed(self, statement: Statement) -> TableName | None:
        """A captured table that a change logged as text may reach, be it through a trigger or a view of its database;
        only the server's own emptying of an in-memory table (`DELETE FROM a.b`) is known to reach no other."""
        words = [word for _, word in statement.names]
        emptied = words[:2] == ["delete", "from"] and len(words) == 5
        schema = statement.names[0][0] if statement.names and not emptied else ""
        return self._first(lambda table: table.name.lower() in words or (schema and schema == table.schema))

    def _first(self, holds: Callable[[TableName], object]) -> TableName | None:
        return next((table for table in self._tables.values() if holds(table)), None)

    def _cased(self, database: str, name: str) -> tuple[str, str]:
        return (database.lower(), name.lower()) if self._lower else (database, name)
