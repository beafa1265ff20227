"""Statements inside the body of a function: SQL, and PL/pgSQL as far as its statements are plain. Pure."""

import re
from collections.abc import Iterator
from typing import Final

from migration_plans.gather.statement_text import split_statements, without_comments

_FLAGS: Final = re.IGNORECASE | re.DOTALL
_HEADS: Final = (
    (re.compile(r"<<\s*\w+\s*>>", _FLAGS), None),
    (re.compile(r"(?:BEGIN|DECLARE|ELSE|LOOP|EXCEPTION)\b(?!\s+ATOMIC)", _FLAGS), None),
    (re.compile(r"(?:IF|ELSIF|ELSEIF)\s+(?P<expression>.*?)\s+THEN\b", _FLAGS), "SELECT {}"),
    (re.compile(r"WHEN\s+(?P<expression>.*?)\s+THEN\b", _FLAGS), None),
    (re.compile(r"CASE\s+(?P<expression>(?!WHEN\b).*?)\s+(?=WHEN\b)", _FLAGS), "SELECT {}"),
    (re.compile(r"CASE\s+(?=WHEN\b)", _FLAGS), None),
    (re.compile(r"WHILE\s+(?P<expression>.*?)\s+LOOP\b", _FLAGS), "SELECT {}"),
    (re.compile(r"FOR\s+\w+\s+IN\s+(?:REVERSE\s+)?[^;]*?\.\.[^;]*?\s+LOOP\b", _FLAGS), None),
    (re.compile(r"FOR\s+[\w,\s]+?\s+IN\s+EXECUTE\s+(?P<dynamic>.*?)\s+LOOP\b", _FLAGS), "EXECUTE"),
    (re.compile(r"FOR\s+[\w,\s]+?\s+IN\s+(?P<expression>.*?)\s+LOOP\b", _FLAGS), "{}"),
    (re.compile(r"FOREACH\s+.*?\s+LOOP\b", _FLAGS), None),
)
_DYNAMIC: Final = re.compile(r"(?:RETURN\s+QUERY\s+)?EXECUTE\b", _FLAGS)
_TAILS: Final = (
    (re.compile(r"RETURN\s+QUERY\s+(?P<rest>.*)", _FLAGS), "{}"),
    (re.compile(r"RETURN\s+(?:NEXT\s+)?(?P<rest>.+)", _FLAGS), "SELECT {}"),
    (re.compile(r"PERFORM\s+(?P<rest>.*)", _FLAGS), "SELECT {}"),
    (re.compile(r"OPEN\s+\w+\s+(?:(?:NO\s+)?SCROLL\s+)?FOR\s+(?P<rest>.*)", _FLAGS), "{}"),
    (re.compile(r"[\w.\[\]\"]+\s*:?=\s*(?P<rest>.*)", _FLAGS), "SELECT {}"),
)
_STATEMENT: Final = re.compile(
    r"(?:SELECT|INSERT|UPDATE|DELETE|MERGE|WITH|TRUNCATE|LOCK|COPY|CALL|TABLE|VALUES)\b", _FLAGS
)
_INTO: Final = re.compile(r"\bINTO\s+(?:STRICT\s+)?(?P<names>[\w.]+(?:\s*,\s*[\w.]+)*)", _FLAGS)


def statements_in(body: str, language: str) -> tuple[list[str], bool]:
    """Plain statements of a body, and whether some are made at run time (`EXECUTE`), which nobody can read here.

    `language`: `sql` or `plpgsql`, as PostgreSQL calls it; of other languages nothing is known.
    """
    if language == "sql":
        inner = re.sub(r"^\s*BEGIN\s+ATOMIC\b(?P<inner>.*)\bEND\s*;?\s*$", r"\g<inner>", body, flags=_FLAGS)
        inner = re.sub(r"^\s*RETURN\b", "SELECT", inner, flags=_FLAGS)
        return split_statements(inner), False
    if language != "plpgsql":
        return [], True
    found: list[str] = []
    dynamic = False
    for piece in split_statements(without_comments(body)):
        for statement in _plain(piece):
            if statement == "EXECUTE":
                dynamic = True
            else:
                found.append(statement)
    return found, dynamic


def _plain(piece: str) -> Iterator[str]:
    piece = piece.strip()
    stripped = True
    while stripped:
        stripped = False
        for head, form in _HEADS:
            match = head.match(piece)
            if match is None:
                continue
            if form is not None:
                yield form.format(match.groupdict().get("expression", ""))
            piece, stripped = piece[match.end() :].strip(), True
            break
    if _DYNAMIC.match(piece):
        yield "EXECUTE"
        return
    if _STATEMENT.match(piece):
        yield _without_into(piece)
        return
    for tail, form in _TAILS:
        match = tail.match(piece)
        if match is not None:
            yield form.format(match["rest"])
            return


def _without_into(statement: str) -> str:
    """Without the variables that a SELECT or RETURNING writes to; INSERT INTO and MERGE INTO keep theirs."""
    if re.match(r"(?:INSERT|MERGE)\b", statement, _FLAGS):
        head, returning, tail = statement.rpartition("RETURNING")
        return statement if not returning else f"{head}{returning}{_INTO.sub('', tail, count=1)}"
    if re.match(r"WITH\b", statement, _FLAGS) and re.search(r"\bINSERT\s+INTO\b", statement, _FLAGS):
        return statement
    return _INTO.sub("", statement, count=1)
