"""What one Python file holds, and names in its syntax tree. Pure."""

import ast
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

StepKind = Literal["read", "write", "sql", "call", "relation"]


class Step(NamedTuple):
    """`read`/`write`: a model by name; `sql`: a text; `call`: a dotted name; `relation`: an attribute of a model."""

    kind: StepKind
    what: str
    line: int
    of: str = ""
    """The model whose relation it is."""


@dataclass(kw_only=True, slots=True)
class FunctionCode:
    """A function, a method (`Class.method`), or a value that a module computes once."""

    name: str
    line: int
    steps: list[Step] = field(default_factory=list)
    returns: str | None = None
    """The model that its annotation names."""
    verbs: set[str] = field(default_factory=set)
    """HTTP methods that it says it answers; empty when it says nothing."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelCode:
    """A class that stands for a table."""

    name: str
    table: str | None
    """None: Django names it after its app."""
    relations: Mapping[str, str]
    """Attribute → model, forwards."""
    reverse: Mapping[str, str]
    """Attribute that the other model gets → the other model."""
    is_abstract: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class WayIn:
    """A route, task or command: how work comes in."""

    method: str
    """`GET`, …; empty for what is no request."""
    path: str
    router: str
    """The name before the dot of the decorator; its prefix is joined later."""
    function: str


@dataclass(kw_only=True, slots=True)
class ModuleCode:
    """A file."""

    name: str
    """Dotted, from the folder that is scanned."""
    file: str
    functions: dict[str, FunctionCode] = field(default_factory=dict)
    models: dict[str, ModelCode] = field(default_factory=dict)
    bases: dict[str, tuple[str, ...]] = field(default_factory=dict)
    class_lines: dict[str, int] = field(default_factory=dict)
    class_models: dict[str, list[str]] = field(default_factory=dict)
    """Class → names in its `model`, `queryset` and `serializer_class`."""
    imports: dict[str, str] = field(default_factory=dict)
    """Name here → dotted name there."""
    aliases: dict[str, str] = field(default_factory=dict)
    """Names of types → the class that they stand for (`Store = Annotated[CatalogStore, …]`)."""
    texts: dict[str, str] = field(default_factory=dict)
    """Constants that are strings."""
    prefixes: dict[str, str] = field(default_factory=dict)
    """Router → the prefix it was made with."""
    mounts: list[tuple[str, str]] = field(default_factory=list)
    """(router or module, prefix under which it is mounted)."""
    ways_in: list[WayIn] = field(default_factory=list)


def dotted(node: ast.expr | None) -> str:
    """`a.b.c` of such an expression, calls left out; the empty string of any other."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        inner = dotted(node.value)
        return f"{inner}.{node.attr}" if inner else node.attr
    return dotted(node.func) if isinstance(node, ast.Call) else ""


def names_in(node: ast.expr) -> list[str]:
    """Every name below the node."""
    return [one.id for one in ast.walk(node) if isinstance(one, ast.Name)]


_TYPING = frozenset(
    {
        *("Annotated", "Optional", "Union", "List", "Sequence", "Iterable", "Iterator", "Collection", "Set", "Tuple"),
        *("Dict", "Mapping", "Awaitable", "AsyncIterator", "Type", "Final", "ClassVar", "Mapped", "Depends", "None"),
    }
)


def annotated(node: ast.expr | None) -> str | None:
    """The one capitalised name of an annotation that may be a model: `Order`, `Order | None`, `list["Order"]`."""
    if node is None:
        return None
    texts = [one.value for one in ast.walk(node) if isinstance(one, ast.Constant) and isinstance(one.value, str)]
    names = [name for name in [*names_in(node), *texts] if name[:1].isupper() and name.isidentifier()]
    return next((name for name in names if name not in _TYPING), None)


def assigned(node: ast.stmt) -> tuple[str, ast.expr | None]:
    """Name and value of an assignment to one name; the empty string and None of anything else."""
    if isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
        return node.targets[0].id, node.value
    if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
        return node.target.id, node.value
    if isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name):
        return node.target.id, node.value
    return "", None


def keyword(call: ast.Call | None, name: str) -> ast.expr | None:
    """The value of a keyword argument."""
    return next((one.value for one in call.keywords if one.arg == name), None) if call is not None else None


def text_of(node: ast.expr | None) -> str | None:
    """A string, or the string inside `text(…)`."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.Call) and dotted(node.func).rpartition(".")[2] == "text" and node.args:
        return text_of(node.args[0])
    return None
