"""What a statement in the binlog means for captured tables. Pure.

Only its first words are read, by the server's own lexical rules: comments, backquoted names, versioned comments. What a
table looks like after an ALTER comes with its next row, so only what makes no rows matters: TRUNCATE, DROP, RENAME, and
changes logged as statements, which hold no rows at all.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal

Kind = Literal[
    "begin", "commit", "rollback", "savepoint", "rollback_to", "release", "truncate", "gone", "rows_lost", "other"
]

_TOKEN: Final = re.compile(
    r"""
    (?P<space>\s+|\#[^\n]*|--(?=\s|$)[^\n]*|/\*(?![!M]).*?\*/|/\*M?!\d*|\*/)
  | `(?P<quoted>(?:[^`]|``)+)`
  | "(?P<double>(?:[^"]|"")+)"
  | (?P<text>'(?:[^'\\]|''|\\.)*')
  | (?P<word>[^\W\d][\w$]*|\d[\w$]*)
  | (?P<sign>.)
    """,
    re.VERBOSE | re.DOTALL,
)
_MOST_TOKENS: Final = 2_000
_CHANGES: Final = frozenset({"INSERT", "UPDATE", "DELETE", "REPLACE", "LOAD", "WITH"})


@dataclass(frozen=True, kw_only=True, slots=True)
class Statement:
    """`names`: the tables of a TRUNCATE, DROP or RENAME as (database, table); of a savepoint its name in the second
    place. For `rows_lost` every word of the statement in lower case, in the second place."""

    kind: Kind
    names: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class _Token:
    text: str
    is_name: bool
    """Quoted, or an ordinary word."""
    quoted: bool = False

    @property
    def keyword(self) -> str:
        return "" if self.quoted or not self.is_name else self.text.upper()


def read_statement(sql: str, schema: str) -> Statement:
    """`schema`: the database that unqualified names belong to."""
    tokens = list(_tokens(sql))
    words = [token.keyword for token in tokens[:4]]
    first = words[0] if words else ""
    if words[:2] in (["XA", "START"], ["XA", "BEGIN"]):
        return Statement(kind="begin")
    if first in ("BEGIN", "COMMIT") or words[:2] == ["START", "TRANSACTION"]:
        return Statement(kind="commit" if first == "COMMIT" else "begin")
    if first == "ROLLBACK":
        return _rollback(tokens)
    if first == "SAVEPOINT":
        return _named("savepoint", schema, tokens[1:])
    if words[:2] == ["RELEASE", "SAVEPOINT"]:
        return _named("release", schema, tokens[2:])
    if first == "TRUNCATE":
        at = 2 if words[1:2] == ["TABLE"] else 1
        return Statement(kind="truncate", names=tuple(_names(tokens[at:], schema)[:1]))
    if first in _CHANGES:
        return Statement(kind="rows_lost", names=tuple((schema, token.text.lower()) for token in tokens))
    return _ddl(tokens, words, schema)


def _named(kind: Kind, schema: str, rest: Sequence[_Token]) -> Statement:
    """Of a savepoint; without a name it is none."""
    return Statement(kind=kind, names=((schema, rest[0].text),)) if rest else Statement(kind="other")


def _rollback(tokens: Sequence[_Token]) -> Statement:
    words = [token.keyword for token in tokens]
    if "TO" not in words:
        return Statement(kind="rollback")
    return Statement(kind="rollback_to", names=(("", tokens[-1].text),))


def _ddl(tokens: Sequence[_Token], words: Sequence[str], schema: str) -> Statement:
    if words[:1] == ["DROP"]:
        return _drop(tokens, schema)
    if words[:2] == ["RENAME", "TABLE"] or words[:2] == ["RENAME", "TABLES"]:
        return Statement(kind="gone", names=tuple(_names(tokens[2:], schema)))
    if words[:3] == ["CREATE", "OR", "REPLACE"] and words[3:4] == ["TABLE"]:
        return Statement(kind="gone", names=tuple(_names(tokens[4:], schema)[:1]))
    if words[:1] == ["ALTER"]:
        return _alter(tokens, schema)
    return Statement(kind="other")


def _drop(tokens: Sequence[_Token], schema: str) -> Statement:
    at = 1
    if tokens[1:2] and tokens[1].keyword == "TEMPORARY":
        return Statement(kind="other")
    if not tokens[at : at + 1] or tokens[at].keyword not in ("TABLE", "TABLES", "DATABASE", "SCHEMA"):
        return Statement(kind="other")
    whole_database = tokens[at].keyword in ("DATABASE", "SCHEMA")
    at += 1
    if [token.keyword for token in tokens[at : at + 2]] == ["IF", "EXISTS"]:
        at += 2
    if whole_database:
        return Statement(kind="gone", names=tuple((token.text, "*") for token in tokens[at : at + 1]))
    return Statement(kind="gone", names=tuple(_names(tokens[at:], schema)))


def _alter(tokens: Sequence[_Token], schema: str) -> Statement:
    """Only `ALTER TABLE t RENAME [TO|AS] u` makes t disappear; RENAME COLUMN and RENAME INDEX do not."""
    words = [token.keyword for token in tokens]
    if "TABLE" not in words[1:4]:
        return Statement(kind="other")
    names = _names(tokens[words.index("TABLE") + 1 :], schema)
    renamed = any(
        word == "RENAME" and following not in ("COLUMN", "INDEX", "KEY", "CONSTRAINT", "PARTITION")
        for word, following in zip(words, [*words[1:], ""], strict=True)
    )
    return Statement(kind="gone" if renamed else "other", names=tuple(names[:1]))


def _names(tokens: Sequence[_Token], schema: str) -> list[tuple[str, str]]:
    """`a, b.c TO d` → [(schema, a), (b, c), (schema, d)]."""
    found: list[tuple[str, str]] = []
    at = 0
    while at < len(tokens):
        token = tokens[at]
        if not token.is_name or token.keyword in ("IF", "EXISTS", "TO", "NOT"):
            at += 1
        elif at + 2 < len(tokens) and tokens[at + 1].text == "." and tokens[at + 2].is_name:
            found.append((token.text, tokens[at + 2].text))
            at += 3
        else:
            found.append((schema, token.text))
            at += 1
    return found


def _tokens(sql: str) -> Iterator[_Token]:
    """Words and signs without comments; at most the first `_MOST_TOKENS`."""
    count = 0
    for match in _TOKEN.finditer(sql):
        if match["space"] is not None:
            continue
        count += 1
        if count > _MOST_TOKENS:
            return
        if match["quoted"] is not None:
            yield _Token(match["quoted"].replace("``", "`"), True, True)
        elif match["double"] is not None:
            yield _Token(match["double"].replace('""', '"'), True, True)
        elif match["word"] is not None:
            yield _Token(match["word"], True)
        else:
            yield _Token(match[0], False)
