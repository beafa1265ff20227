"""Python source that holds other people's text: literals that are exact and can be read. Pure."""

import re
from collections.abc import Iterable


def literal(text: str) -> str:
    """In double quotes; in triple ones when it has quotes, or several lines: then it begins with a further newline."""
    if "\n" in text:
        return _quoted(f"\n{text}", '"""')
    return _quoted(text, '"""' if '"' in text else '"')


def tuple_of(name: str, texts: Iterable[str]) -> str:
    """`name = (…)`, a text a line."""
    lines = "".join(f"    {literal(text)},\n" for text in texts)
    return f"{name}: tuple[str, ...] = (\n{lines})\n" if lines else f"{name}: tuple[str, ...] = ()\n"


def doc(text: str) -> str:
    """A docstring of one line."""
    return _quoted(" ".join(text.split()), '"""')


def _quoted(text: str, quotes: str) -> str:
    escaped = []
    for letter in text.replace("\\", "\\\\").replace('"', '\\"' if quotes == '"' else '"'):
        keeps = letter.isprintable() or (letter == "\n" and quotes == '"""')
        escaped.append(letter if keeps else letter.encode("unicode_escape").decode())
    body = "".join(escaped)
    if quotes == '"""':
        body = re.sub(r'"{3,}|"+$', lambda match: r"\"" * len(match[0]), body)
    return f"{quotes}{body}{quotes}"
