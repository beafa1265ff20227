"""SQL as text, before it is parsed: its form without values, its comments, several statements in one. Pure."""

import re
from collections.abc import Iterator, Mapping
from typing import Final
from urllib.parse import unquote

_TOKEN: Final = re.compile(
    r"""
      (?P<space>\s+)
    | (?P<line>--[^\n]*)
    | (?P<block>/\*)
    | (?P<dollar>\$(?:[^\W\d]\w*)?\$)
    | (?P<escaped>[eE]'(?:[^'\\]|''|\\.)*'?)
    | (?P<string>[bBxXnN]?'(?:[^']|'')*'?)
    | (?P<name>"(?:[^"]|"")*"?|`[^`]*`?)
    | (?P<parameter>\$\d+)
    | (?P<number>(?:\d[\d_]*(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?)
    | (?P<word>[^\W\d][\w$]*)
    | (?P<semicolon>;)
    | (?P<other>.)
    """,
    re.VERBOSE | re.DOTALL,
)
_BACKSLASH_STRING: Final = re.compile(r"'(?:[^'\\]|''|\\.)*'?", re.DOTALL)
_LIST: Final = re.compile(r"(?P<first>'\?'|0|\$1|\?)(?: ?, ?(?:'\?'|0|\$1|\?|NULL|DEFAULT|null|default))+")
_ROWS: Final = re.compile(r"(?P<first>\([^()]*\))(?: ?, ?(?P=first))+")
_TAG: Final = re.compile(r"(?P<key>[A-Za-z_][\w.-]*)\s*[=:]\s*(?:'(?P<quoted>(?:[^'\\]|\\.)*)'|(?P<bare>[^,*]*))")


def normalised(text: str, *, backslashes: bool = False) -> str:
    """The statement with `'?'` for every string and 0 for every number, comments gone, lists of values cut to one.

    Still SQL: it parses to the same tables and columns. `backslashes`: quoted strings know escapes, as MySQL's do.
    """
    parts: list[str] = []
    for kind, token in _tokens(text, backslashes=backslashes):
        if kind in {"space", "comment"}:
            if parts and parts[-1] != " ":
                parts.append(" ")
        elif kind in {"string", "escaped", "dollar"}:
            parts.append("'?'")
        elif kind == "number":
            parts.append("0")
        elif kind == "parameter":
            parts.append("$1")
        else:
            parts.append(token)
    form = "".join(parts).strip(" ;")
    return _ROWS.sub(r"\g<first>", _LIST.sub(r"\g<first>", form))


def split_statements(text: str, *, backslashes: bool = False) -> list[str]:
    """The statements of a text, which semicolons outside of strings, comments and function bodies part."""
    if ";" not in text:
        return [text] if text.strip() else []
    statements: list[str] = []
    current: list[str] = []
    depth = 0
    for kind, token in _tokens(text, backslashes=backslashes):
        if kind == "word":
            # BEGIN ATOMIC … END holds statements of its own.
            lowered = token.lower()
            if lowered == "atomic" or (depth and lowered == "case"):
                depth += 1
            elif depth and lowered == "end":
                depth -= 1
        if kind == "semicolon" and not depth:
            statements.append("".join(current))
            current = []
        else:
            current.append(token)
    statements.append("".join(current))
    return [statement.strip() for statement in statements if normalised(statement)]


def comment_tags(text: str) -> Mapping[str, str]:
    """Keys and values of comments: sqlcommenter (`/*route='…',traceparent='…'*/`) and marginalia (`/*app:x*/`).

    Keys in lower case, values decoded. Empty when there are none, and for comments that are prose or hints.
    """
    if "/*" not in text:
        return {}
    found: dict[str, str] = {}
    for kind, token in _tokens(text, backslashes=False):
        if kind != "comment" or not token.startswith("/*") or token.startswith(("/*+", "/*!")):
            continue
        body = token[2:].removesuffix("*/").strip()
        tags = [*_TAG.finditer(body)]
        if not tags or tags[0].start() > 0:
            continue
        for tag in tags:
            value = tag["quoted"] if tag["quoted"] is not None else tag["bare"].strip()
            found[unquote(tag["key"]).lower()] = unquote(re.sub(r"\\(.)", r"\1", value))
    return found


def without_comments(text: str, *, backslashes: bool = False) -> str:
    """The same statement, each comment a blank."""
    if "/*" not in text and "--" not in text:
        return text
    return "".join(" " if kind == "comment" else token for kind, token in _tokens(text, backslashes=backslashes))


def with_parted_parameters(text: str, *, backslashes: bool = False) -> str:
    """The same statement, a blank after each parameter: sqlglot takes `$1,$` of `($1,$2)` for a quote."""
    if "$" not in text:
        return text
    return "".join(
        f"{token} " if kind == "parameter" else token for kind, token in _tokens(text, backslashes=backslashes)
    )


def _tokens(text: str, *, backslashes: bool) -> Iterator[tuple[str, str]]:
    at, end = 0, len(text)
    while at < end:
        match = _TOKEN.match(text, at)
        assert match is not None
        kind, stop = str(match.lastgroup), match.end()
        if kind == "block":
            kind, stop = "comment", _comment_end(text, at)
        elif kind == "line":
            kind = "comment"
        elif kind == "dollar":
            close = text.find(match[0], stop)
            stop = end if close < 0 else close + len(match[0])
        elif kind == "string" and backslashes and (escaped := _BACKSLASH_STRING.match(text, text.index("'", at))):
            stop = escaped.end()
        yield kind, text[at:stop]
        at = stop


def _comment_end(text: str, at: int) -> int:
    """Comments nest in PostgreSQL."""
    depth, position = 1, at + 2
    while depth:
        close = text.find("*/", position)
        if close < 0:
            return len(text)
        opened = text.find("/*", position)
        if 0 <= opened < close:
            depth, position = depth + 1, opened + 2
        else:
            depth, position = depth - 1, close + 2
    return position
