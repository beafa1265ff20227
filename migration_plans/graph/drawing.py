"""What is drawn, whatever draws it: boxes in groups, and lines between them. Pure."""

from dataclasses import dataclass
from typing import Literal

NodeKind = Literal["read", "write", "moved", "target", "stays", "dependent", "service"]
LineKind = Literal["reads", "writes", "moves", "key", "inner", "uses", "ties"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Node:
    """`id`: unique in the drawing, any text. `lines`: the name first, then what is said about it."""

    id: str
    kind: NodeKind
    lines: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Group:
    """Boxes that are drawn together, under a title."""

    title: str
    nodes: tuple[Node, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """From box to box, by id. `about`: said where there is room for a sentence."""

    start: str
    end: str
    kind: LineKind
    label: str = ""
    about: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Drawing:
    """`lines` in the order of their weight: what cannot draw all leaves the last ones out."""

    title: str
    groups: tuple[Group, ...]
    lines: tuple[Line, ...] = ()

    def __post_init__(self) -> None:
        ids = [node.id for group in self.groups for node in group.nodes]
        assert len(set(ids)) == len(ids), "a box is drawn once"
        assert {end for line in self.lines for end in (line.start, line.end)} <= set(ids), "a line has two ends"
