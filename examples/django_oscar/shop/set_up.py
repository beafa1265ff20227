"""`python -m shop.set_up`: an empty database becomes the shop's, with names that hide the apps.

Django's own migrations run under Django's names; then tables, constraints, indexes and sequences are renamed. Prints,
as JSON, which app each table is of: what nobody who looks at the database is told.
"""

# ruff: noqa: E402 (Django has to be set up before its models are imported)

import json
import os
from collections.abc import Iterable

os.environ["SHOP_NAMES"] = "plain"
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop.settings")

import django

django.setup()

from django.apps import apps
from django.core.management import call_command
from django.db import connection, transaction
from shop.names import hidden, hidden_names

_LONGEST = 63
"""Bytes of a name in PostgreSQL."""
_ENDINGS = {"p": "pkey", "u": "key", "f": "fkey", "c": "check", "x": "excl", "n": "not_null"}
_RELATIONS = (
    "SELECT relname, relkind FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'm')"
)
_CONSTRAINTS = """
    SELECT c.conname, c.contype, t.relname,
        (SELECT string_agg(a.attname, '_' ORDER BY k.place) FROM unnest(c.conkey) WITH ORDINALITY k(number, place)
         JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = k.number)
    FROM pg_constraint c JOIN pg_class t ON t.oid = c.conrelid
    WHERE t.relnamespace = 'public'::regnamespace ORDER BY t.relname, c.conname"""
_INDEXES = """
    SELECT i.relname, t.relname,
        (SELECT string_agg(a.attname, '_' ORDER BY a.attnum) FROM pg_attribute a WHERE a.attrelid = i.oid)
    FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid JOIN pg_class t ON t.oid = x.indrelid
    WHERE t.relnamespace = 'public'::regnamespace
        AND NOT EXISTS (SELECT 1 FROM pg_constraint c WHERE c.conindid = i.oid AND c.contype IN ('p', 'u', 'x'))
    ORDER BY t.relname, i.relname"""
_SEQUENCES = """
    SELECT s.relname, t.relname, a.attname FROM pg_class s
    JOIN pg_depend d ON d.objid = s.oid AND d.deptype IN ('a', 'i')
    JOIN pg_class t ON t.oid = d.refobjid JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = d.refobjsubid
    WHERE s.relkind = 'S' AND s.relnamespace = 'public'::regnamespace ORDER BY 1"""


def main() -> None:
    """Migrate, rename."""
    call_command("migrate", verbosity=0)
    with transaction.atomic():
        _rename_tables()
        _rename_constraints()
        _rename_indexes()
        _rename_sequences()
    models = apps.get_models(include_auto_created=True)
    print(json.dumps({hidden(model._meta.db_table): model._meta.app_label for model in models if model._meta.managed}))


def _rows(query: str) -> list[tuple[str, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(query)
        return cursor.fetchall()


def _rename(kind: str, names: Iterable[tuple[str, str, str]]) -> None:
    """(table, or None for what stands by itself; old name; new name). By way of names that nothing else has."""
    quote = connection.ops.quote_name
    changed = [(table, old, new) for table, old, new in names if old != new]
    ways = [(table, old, f"on the way {n}") for n, (table, old, _) in enumerate(changed)]
    ways += [(table, f"on the way {n}", new) for n, (table, _, new) in enumerate(changed)]
    with connection.cursor() as cursor:
        for table, old, new in ways:
            if table:
                cursor.execute(f"ALTER TABLE {quote(table)} RENAME CONSTRAINT {quote(old)} TO {quote(new)}")
            else:
                cursor.execute(f"ALTER {kind} {quote(old)} RENAME TO {quote(new)}")


def _rename_tables() -> None:
    kinds = dict(_rows(_RELATIONS))
    names = hidden_names(kinds)
    _rename("TABLE", (("", old, new) for old, new in names.items() if kinds[old] == "r"))
    _rename("MATERIALIZED VIEW", (("", old, new) for old, new in names.items() if kinds[old] == "m"))


def _rename_constraints() -> None:
    taken: set[str] = set()
    names = []
    for name, kind, table, columns in _rows(_CONSTRAINTS):
        words = (table, _ENDINGS[kind]) if kind == "p" else (table, columns or "row", _ENDINGS[kind])
        names.append((table, name, _free("_".join(words), taken)))
    _rename("CONSTRAINT", names)


def _rename_indexes() -> None:
    taken: set[str] = set()
    _rename("INDEX", [("", name, _free(f"{table}_{columns}_idx", taken)) for name, table, columns in _rows(_INDEXES)])


def _rename_sequences() -> None:
    taken: set[str] = set()
    names = [("", name, _free(f"{table}_{column}_seq", taken)) for name, table, column in _rows(_SEQUENCES)]
    _rename("SEQUENCE", names)


def _free(name: str, taken: set[str]) -> str:
    """The name, cut to what PostgreSQL takes, with a number when it is taken."""
    number, found = 1, name[:_LONGEST]
    while found in taken:
        number += 1
        found = f"{name[: _LONGEST - 3]}_{number}"
    taken.add(found)
    return found


if __name__ == "__main__":
    main()
