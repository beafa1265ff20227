"""Names that are made from other names: of the move, of the package, of routes and their parameters. Pure."""

import keyword
import re
from collections.abc import Iterable

_MOVE_LENGTH = 31
"""A plan's names of moves are no longer: slots and origins are called after them."""
_PARAMETER = re.compile(r"\{([^{}]*)\}")


def slug(text: str) -> str:
    """`Order lines` → `order_lines`; begins with a letter."""
    words = re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")
    return words if words[:1].isalpha() else f"s_{words}".rstrip("_")


def move_name(service: str) -> str:
    """A name that a plan takes."""
    return slug(service)[:_MOVE_LENGTH].rstrip("_")


def package_name(service: str) -> str:
    """Never the name of a module of Python's own, nor of the service's tests."""
    return f"{slug(service).removesuffix('_service')}_service"


def route_ids(endpoints: Iterable[tuple[str, str]]) -> list[str]:
    """For each (method, path): `products.prices.get`. Words that all paths begin with are left out."""
    given = list(endpoints)
    words = [_words(path) for _, path in given]
    common = 0
    while len({tuple(each[: common + 1]) for each in words}) == 1 and all(len(each) > common + 1 for each in words):
        common += 1
    taken: set[str] = set()
    result = []
    for (method, path), each in zip(given, words, strict=True):
        plain = ".".join([*(each[common:] or ["root"]), method.lower()])
        detailed = ".".join([*(_words(path, parameters=True)[common:] or ["root"]), method.lower()])
        name, number = plain if plain not in taken else detailed, 2
        while name in taken:
            name, number = f"{detailed}.{number}", number + 1
        taken.add(name)
        result.append(name)
    return result


def function_name(route_id: str) -> str:
    """A Python function for a route."""
    name = re.sub(r"\W+", "_", route_id).strip("_").lower()
    return f"{name}_" if keyword.iskeyword(name) or not name[:1].isalpha() else name


def framework_path(path: str) -> tuple[str, tuple[str, ...]]:
    """The path with parameters that Python can name, each once (`/a/{id}/b/{id}` → `/a/{id}/b/{id_2}`), and these."""
    names: list[str] = []

    def replaced(match: re.Match[str]) -> str:
        name = slug(match.group(1)) if match.group(1) else "id"
        if keyword.iskeyword(name) or name == "request":
            name += "_"
        free, number = name, 2
        while free in names:
            free, number = f"{name}_{number}", number + 1
        names.append(free)
        return f"{{{free}}}"

    return _PARAMETER.sub(replaced, path), tuple(names)


def _words(path: str, *, parameters: bool = False) -> list[str]:
    shown = _PARAMETER.sub(lambda match: f"by-{match.group(1)}" if parameters else "", path)
    return [slug(segment) for segment in shown.split("/") if re.search(r"[A-Za-z0-9]", segment)]
