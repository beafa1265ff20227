"""Python source that holds other people's text: literals that are exact and can be read. Pure."""

from collections.abc import Iterable


def literal(text: str) -> str:
    """A string in double quotes; one of several lines in triple quotes."""
    if "\n" not in text:
        return _quoted(text, '"')
    # A quote at the very end would join the closing ones.
    return '"""\n' + _quoted(text, '"""')[3:-3] + '"""' if not text.startswith("\n") else _quoted(text, '"""')


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
        body = body.replace('"""', '\\"\\"\\"')
        if body.endswith('"'):
            body = body[:-1] + '\\"'
    return f"{quotes}{body}{quotes}"
