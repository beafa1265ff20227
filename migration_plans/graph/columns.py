"""Where boxes and lines of an extraction lie on a page: users on the left, moved tables, their targets. Pure."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from migration_plans.graph.drawing import Drawing, Line, LineKind, Node, NodeKind

_COLUMN: dict[NodeKind, int] = {
    "read": 0,
    "write": 0,
    "stays": 0,
    "dependent": 0,
    "moved": 1,
    "target": 2,
    "service": 1,
}
WIDTH = 300.0
_GAP = 215.0
_LINE_HEIGHT = 16.0
_PADDING = 9.0
_SPACE = 14.0
_SPACE_MOST = 130.0
_HEADING = 34.0
_MARGIN = 20.0
_TITLES = ("who uses them", "before: the monolith", "after: the service")
_LETTERS_MOST = 44
_LABEL_LETTERS_MOST = 32
"""Of a line in a box, and of a label; the whole text is shown when one points to it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PlacedNode:
    """Pixels; `x` and `y` of the upper left corner. `texts`: (what is shown, its y)."""

    node: Node
    x: float
    y: float
    height: float
    texts: tuple[tuple[str, float], ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class PlacedLine:
    """`path`: an SVG path from edge to edge. `label`: as much as there is room for; `x`, `y`: where it begins or ends
    (`anchor`)."""

    line: Line
    path: str
    label: str
    x: float
    y: float
    anchor: Literal["start", "end"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Page:
    """Everything with its place, in pixels. `headings`: (text, x, y)."""

    nodes: tuple[PlacedNode, ...]
    lines: tuple[PlacedLine, ...]
    headings: tuple[tuple[str, float, float], ...]
    width: float
    height: float


def placed(drawing: Drawing) -> Page:
    """Boxes below each other in three columns; those that are joined with the upper tables come first."""
    columns: tuple[list[Node], ...] = ([], [], [])
    for group in drawing.groups:
        for node in group.nodes:
            columns[_COLUMN[node.kind]].append(node)
    middle = {node.id: place for place, node in enumerate(columns[1])}
    room = max(sum(map(_height, column)) + _SPACE * len(column) for column in columns)
    nodes = [
        each
        for column, found in enumerate(columns)
        for each in _stacked(_beside(found, drawing.lines, middle) if column != 1 else found, column, room)
    ]
    at = {each.node.id: each for each in nodes}
    return Page(
        nodes=tuple(nodes),
        lines=tuple(_joined(drawing.lines, at)),
        headings=tuple((title, _left(column), _MARGIN + 4) for column, title in enumerate(_TITLES) if columns[column]),
        width=_left(2) + WIDTH + _MARGIN,
        height=max((each.y + each.height for each in nodes), default=0.0) + _MARGIN,
    )


def _beside(nodes: Sequence[Node], lines: Sequence[Line], middle: dict[str, int]) -> list[Node]:
    """Sorted by the mean place of the tables that each is joined with, so that few lines cross."""
    places: dict[str, list[int]] = {}
    for line in lines:
        for one, other in ((line.start, line.end), (line.end, line.start)):
            if other in middle:
                places.setdefault(one, []).append(middle[other])
    last = len(middle)

    def mean(node: Node) -> float:
        found = places.get(node.id)
        return sum(found) / len(found) if found else last

    is_endpoint = ("read", "write")
    return sorted(nodes, key=lambda node: (node.kind not in is_endpoint, mean(node)))


def _left(column: int) -> float:
    return _MARGIN + column * (WIDTH + _GAP)


def _height(node: Node) -> float:
    return len(node.lines) * _LINE_HEIGHT + 2 * _PADDING


def _stacked(nodes: Sequence[Node], column: int, room: float) -> Iterator[PlacedNode]:
    """Spread over the room that the fullest column takes, but not out of sight of each other."""
    free = room - sum(map(_height, nodes))
    space = min(max(free / max(len(nodes), 1), _SPACE), _SPACE_MOST)
    y = _MARGIN + _HEADING + (space - _SPACE) / 2
    for node in nodes:
        first = y + _PADDING + 12
        texts = tuple(
            (_short(text, _LETTERS_MOST), first + number * _LINE_HEIGHT) for number, text in enumerate(node.lines)
        )
        yield PlacedNode(node=node, x=_left(column), y=y, height=_height(node), texts=texts)
        y += _height(node) + space


def _short(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _joined(lines: Sequence[Line], at: Mapping[str, PlacedNode]) -> Iterator[PlacedLine]:
    """A label stands at the outer end of its line, where few others are; further ones there below it."""
    labels: Counter[str] = Counter()
    for line in lines:
        start, end = at[line.start], at[line.end]
        outer = end if start.x == _left(1) else start
        x = outer.x - 8 if outer.x > _left(1) else outer.x + WIDTH + 8
        y = outer.y + outer.height / 2 - 4 + 13 * labels[outer.node.id]
        labels[outer.node.id] += bool(line.label)
        anchor: Literal["start", "end"] = "end" if outer.x > _left(1) else "start"
        label = _short(line.label, _LABEL_LETTERS_MOST)
        yield PlacedLine(line=line, path=_path(start, end), label=label, x=x, y=y, anchor=anchor)


def _path(start: PlacedNode, end: PlacedNode) -> str:
    y1, y2 = start.y + start.height / 2, end.y + end.height / 2
    if start.x == end.x:
        # Between two boxes of one column, or from a box to itself: a bow on the right.
        x = start.x + WIDTH
        bow, lower = x + 46 + abs(y2 - y1) / 8, y2 if start is not end else y2 + 12
        return f"M{x:g} {y1:g} C{bow:g} {y1:g} {bow:g} {lower:g} {x:g} {lower:g}"
    x1, x2 = (start.x + WIDTH, end.x) if start.x < end.x else (start.x, end.x + WIDTH)
    middle = (x1 + x2) / 2
    return f"M{x1:g} {y1:g} C{middle:g} {y1:g} {middle:g} {y2:g} {x2:g} {y2:g}"


LINE_WORDS: dict[LineKind, str] = {
    "reads": "reads",
    "writes": "writes",
    "moves": "moves",
    "key": "foreign key cut",
    "inner": "foreign key that moves along",
    "uses": "is left behind",
    "ties": "ties",
}
