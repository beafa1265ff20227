"""A drawing in Graphviz' DOT. Pure."""

from collections.abc import Iterator

from migration_plans.graph.drawing import Drawing, LineKind, NodeKind

_NODES: dict[NodeKind, str] = {
    "read": 'shape=box, style="rounded"',
    "write": 'shape=box, style="rounded,bold", color="#c43d3d"',
    "moved": 'shape=cylinder, style="bold", color="#b7791f"',
    "target": 'shape=cylinder, style="bold", color="#2f855a"',
    "stays": 'shape=cylinder, style="dashed"',
    "dependent": 'shape=hexagon, style="dashed"',
    "service": "shape=box",
}
_LINES: dict[LineKind, str] = {
    "reads": "",
    "writes": 'style="bold", color="#c43d3d"',
    "moves": 'style="bold"',
    "key": 'style="dashed"',
    "inner": 'color="#b7791f"',
    "uses": 'style="dotted"',
    "ties": "",
}


def as_dot(drawing: Drawing) -> str:
    """The whole text; `dot -Tsvg` draws it."""
    return "\n".join(_lines(drawing)) + "\n"


def _lines(drawing: Drawing) -> Iterator[str]:
    ids: dict[str, str] = {}
    yield "digraph plan {"
    yield f"  graph [label={_quoted(drawing.title)}, labelloc=t, rankdir=LR, fontname=Helvetica];"
    yield "  node [fontname=Helvetica]; edge [fontname=Helvetica, fontsize=10];"
    for number, group in enumerate(drawing.groups):
        yield f"  subgraph cluster_{number} {{"
        yield f"    label={_quoted(group.title)};"
        for node in group.nodes:
            ids[node.id] = f"n{len(ids)}"
            yield f"    {ids[node.id]} [label={_quoted(*node.lines)}, {_NODES[node.kind]}];"
        yield "  }"
    for line in drawing.lines:
        parts = [f"label={_quoted(line.label)}"] if line.label else []
        parts += [f"tooltip={_quoted(line.about)}"] if line.about else []
        parts += [_LINES[line.kind]] if _LINES[line.kind] else []
        yield f"  {ids[line.start]} -> {ids[line.end]} [{', '.join(parts)}];"
    yield "}"


def _quoted(*lines: str) -> str:
    """A quoted text of these lines."""
    texts = (" ".join(line.split()).replace("\\", "\\\\").replace('"', '\\"') for line in lines)
    return '"' + "\\n".join(texts) + '"'
