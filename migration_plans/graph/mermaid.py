"""A drawing as a Mermaid flowchart, as GitHub draws it in Markdown. Pure."""

import re
from collections.abc import Iterator

from migration_plans.graph.drawing import Drawing, LineKind, Node, NodeKind

GITHUB_LETTERS_MOST = 50_000
"""GitHub's Mermaid refuses a longer text, and a flowchart of more than 500 lines."""
LINES_MOST = 480
LETTERS_MOST = 45_000
"""Of boxes and lines. What follows is left out, and said; of many boxes all but the names are."""

_SHAPES: dict[NodeKind, tuple[str, str]] = {
    "read": ("([", "])"),
    "write": ("([", "])"),
    "moved": ("[(", ")]"),
    "target": ("[(", ")]"),
    "stays": ("[", "]"),
    "dependent": ("{{", "}}"),
    "service": ("[", "]"),
}
_ARROWS: dict[LineKind, str] = {
    "reads": "-->",
    "writes": "==>",
    "moves": "==>",
    "key": "-.->",
    "inner": "-->",
    "uses": "-.->",
    "ties": "-->",
}
_STYLES: dict[NodeKind, str] = {
    "write": "stroke:#c43d3d,stroke-width:2px",
    "moved": "stroke:#b7791f,stroke-width:3px",
    "target": "stroke:#2f855a,stroke-width:3px",
    "stays": "stroke-dasharray:4 3",
    "dependent": "stroke-dasharray:4 3",
}
_SPECIAL = re.compile(r"""[#&<>"`\\%;]""")


def as_mermaid(drawing: Drawing) -> str:
    """The whole text. Ids are numbers, so that no name can end or change anything."""
    return "\n".join(_lines(drawing)) + "\n"


def _lines(drawing: Drawing) -> Iterator[str]:
    ids: dict[str, str] = {}
    yield "flowchart LR"
    yield f"    accTitle: {_plain(drawing.title)}"
    letters = 0
    texts = sum(len(line) for group in drawing.groups for node in group.nodes for line in node.lines)
    names_only = texts > LETTERS_MOST // 2
    for number, group in enumerate(drawing.groups):
        yield f'    subgraph g{number}["{_escaped(group.title)}"]'
        for node in group.nodes:
            ids[node.id] = f"n{len(ids)}"
            line = f"        {ids[node.id]}{_box(node, names_only=names_only)}"
            letters += len(line)
            yield line
        yield "    end"
    left_out = 0
    for count, edge in enumerate(drawing.lines):
        label = f'|"{_escaped(edge.label)}"|' if edge.label else ""
        line = f"    {ids[edge.start]} {_ARROWS[edge.kind]}{label} {ids[edge.end]}"
        letters += len(line) + 1
        if count >= LINES_MOST or letters > LETTERS_MOST:
            left_out += 1
        else:
            yield line
    if left_out:
        yield f'    more["and {left_out} lines more: the formats dot and html have all"]'
    kinds = {node.kind for group in drawing.groups for node in group.nodes}
    for kind, style in _STYLES.items():
        if kind in kinds:
            yield f"    classDef {kind} {style}"


def _box(node: Node, *, names_only: bool) -> str:
    before, after = _SHAPES[node.kind]
    text = "<br/>".join(map(_escaped, node.lines[:1] if names_only else node.lines))
    return f'{before}"{text}"{after}' + (f":::{node.kind}" if node.kind in _STYLES else "")


def _escaped(text: str) -> str:
    """For a quoted text: entity codes for what Mermaid, Markdown or HTML would take for its own."""
    flat = " ".join(text.split())
    return _SPECIAL.sub(lambda match: f"#{ord(match.group())};", flat)


def _plain(text: str) -> str:
    """For a line of its own, which knows no quotes."""
    return re.sub(r"[^\w ,.:/()'-]", " ", " ".join(text.split()))
