"""The statements that make a type, a function or a collation anew, from what the catalog says of it. Pure."""

import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any

Made = tuple[tuple[str, ...], str, str]
"""Statements, the statement that takes it away, and why it cannot be made (then there are no statements)."""

_LANGUAGES = frozenset({"sql", "plpgsql"})
_PROVIDERS = {"c": "libc", "i": "icu", "b": "builtin"}


def made_type(sql: str, row: Mapping[str, Any]) -> Made:
    """`row`: of `catalog_queries.TYPES`."""
    comment = _comment("TYPE", sql, row["comment"])
    if row["kind"] == "e":
        return (f"CREATE TYPE {sql} AS ENUM ({', '.join(row['labels'])})", *comment), f"DROP TYPE {sql}", ""
    if row["kind"] == "d":
        parts = [f"CREATE DOMAIN {sql} AS {row['base']}"]
        parts += [f"COLLATE {row['collation']}"] if row["collation"] else []
        parts += [f"DEFAULT {row['default']}"] if row["default"] else []
        parts += ["NOT NULL"] if row["not_null"] else []
        checks = [check.removesuffix(" NOT VALID") for check in row["checks"]]
        comments = (*_comment("DOMAIN", sql, row["comment"]), *_of_parts(row))
        return (" ".join([*parts, *checks]), *comments), f"DROP DOMAIN {sql}", ""
    if row["kind"] == "c" and row["relation_kind"] == "c":
        create = f"CREATE TYPE {sql} AS ({', '.join(row['attributes'])})"
        return (create, *comment, *_of_parts(row)), f"DROP TYPE {sql}", ""
    if row["kind"] == "c":
        return (), "", "is the row type of a table or view"
    if row["kind"] == "r" and row["range_parts"]["canonical"] is None:
        options = {key: value for key, value in row["range_parts"].items() if value is not None}
        if row["multirange"]:
            options["multirange_type_name"] = row["multirange"]
        listed = ", ".join(f"{key} = {value}" for key, value in options.items())
        return (f"CREATE TYPE {sql} AS RANGE ({listed})", *comment), f"DROP TYPE {sql}", ""
    return (), "", "is a type whose code is not in the database"


def made_function(sql: str, row: Mapping[str, Any], relations: Collection[str]) -> Made:
    """`row`: of `FUNCTIONS`. One that names a table, view or sequence (`relations`) is left to people."""
    if row["language"] not in _LANGUAGES:
        return (), "", f"is written in {row['language']}"
    if row["kind"] != "f" or row["definition"] is None:
        return (), "", "is no plain function"
    words = re.findall(r"\w+", row["body"] or row["definition"].partition("\n")[2])
    if used := sorted(_folded(words) & set(relations)):
        return (), "", f"uses {', '.join(used)}"
    definition = row["definition"].strip().replace("CREATE OR REPLACE FUNCTION", "CREATE FUNCTION", 1)
    return (definition, *_comment("FUNCTION", sql, row["comment"])), f"DROP FUNCTION {sql}", ""


def made_collation(sql: str, facts: Mapping[str, Any]) -> Made:
    """`facts`: the row of pg_collation as JSON; its columns have changed names over the versions."""
    provider = _PROVIDERS.get(facts["collprovider"])
    if provider is None:
        return (), "", "is the database's default under another name"
    locale = facts.get("colllocale") or facts.get("colliculocale") or facts.get("collcollate")
    options = [f"provider = {provider}", f"locale = {literal(str(locale))}"]
    if provider == "libc" and facts.get("collctype") not in (None, facts.get("collcollate")):
        options[1:] = [f"lc_collate = {literal(facts['collcollate'])}", f"lc_ctype = {literal(facts['collctype'])}"]
    if not facts.get("collisdeterministic", True):
        options.append("deterministic = false")
    if rules := facts.get("collicurules"):
        options.append(f"rules = {literal(rules)}")
    return (f"CREATE COLLATION {sql} ({', '.join(options)})",), f"DROP COLLATION {sql}", ""


def called_functions(body: str, names: Collection[str]) -> frozenset[str]:
    """Those of `names` that a body seems to call."""
    return _folded(re.findall(r"(\w+)\"?\s*\(", body)) & frozenset(names)


def _comment(kind: str, sql: str, comment: str | None) -> tuple[str, ...]:
    return (f"COMMENT ON {kind} {sql} IS {literal(comment)}",) if comment else ()


def _of_parts(row: Mapping[str, Any]) -> tuple[str, ...]:
    """Comments of a type's attributes, of a domain's checks."""
    return tuple(f"COMMENT ON {each}" for each in row["comments"])


def _folded(words: Iterable[str]) -> frozenset[str]:
    """As they stand, for they may be quoted, and as SQL reads them when they are not."""
    return frozenset(name for word in words for name in (word, word.lower()))


def literal(text: str) -> str:
    """As an SQL string, whatever `standard_conforming_strings` says."""
    doubled = text.replace("'", "''")
    if "\\" in text:
        return "E'" + doubled.replace("\\", "\\\\") + "'"
    return f"'{doubled}'"
