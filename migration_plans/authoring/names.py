"""Names that are made from other names: of the move, of the package, of routes and their parameters. Pure."""

import keyword
import re
from collections.abc import Iterable

_MOVE_LENGTH = 31
"""A plan's names of moves are no longer: slots and origins are called after them."""
_PARAMETER = re.compile(r"\{([^{}]*)\}")
_LITERAL = re.compile(r"(?:[A-Za-z0-9._~!$&'()*+,;=:@-]|%[0-9A-F]{2})+")
"""What a segment of a route may be, besides a parameter."""
_TAKEN = frozenset({"legacy", "inspection", "gate"})
"""What the router calls its own backends."""
_SERVICE = re.compile(r"[a-z][a-z0-9_-]{0,62}")


def slug(text: str) -> str:
    """`Order lines` → `order_lines`; begins with a letter."""
    words = re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")
    return words if words[:1].isalpha() else f"s_{words}".rstrip("_")


def move_name(service: str) -> str:
    """A name that a plan takes."""
    return slug(service)[:_MOVE_LENGTH].rstrip("_")


def service_key(service: str) -> str:
    """The service as strangler.toml, routes and statistics name it: as it is, when that can be."""
    name = service if _SERVICE.fullmatch(service) else slug(service)[:63].rstrip("_")
    return f"{name}_service" if name in _TAKEN else name


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


def routable_path(path: str) -> str | None:
    """The path as a plan's routes have it: no slash at the end, every parameter a segment of its own with a name that
    Python can have, each once (`/a/{id}/b/{id}` → `/a/{id}/b/{id_2}`). None when that cannot be said, and for a path of
    parameters only, which would match whatever is as deep."""
    names: list[str] = []
    segments = []
    for segment in path.rstrip("/").split("/")[1:]:
        if match := _PARAMETER.fullmatch(segment):
            names.append(_free(_parameter_name(match[1]), names))
            segment = f"{{{names[-1]}}}"
        elif _LITERAL.fullmatch(segment) is None or segment in (".", ".."):
            return None
        segments.append(segment)
    return None if names and len(names) == len(segments) else "/" + "/".join(segments)


def parameters(path: str) -> tuple[str, ...]:
    """Names of a path's parameters, in order."""
    return tuple(_PARAMETER.findall(path))


def shape(path: str) -> tuple[str, ...]:
    """Segments, parameters without their names: equal for paths that match the same requests."""
    return tuple("{}" if _PARAMETER.fullmatch(segment) else segment for segment in path.split("/")[1:])


def covers(general: tuple[str, ...], special: tuple[str, ...]) -> bool:
    """Whether a path of shape `general` matches whatever one of shape `special` does."""
    return len(general) == len(special) and all(
        one in ("{}", other) for one, other in zip(general, special, strict=True)
    )


def _parameter_name(text: str) -> str:
    name = text if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", text) else slug(text or "id")
    return f"{name}_" if keyword.iskeyword(name) or name == "request" else name


def _free(name: str, taken: list[str]) -> str:
    free, number = name, 2
    while free in taken:
        free, number = f"{name}_{number}", number + 1
    return free


def _words(path: str, *, parameters: bool = False) -> list[str]:
    shown = _PARAMETER.sub(lambda match: f"by-{match.group(1)}" if parameters else "", path)
    return [slug(segment) for segment in shown.split("/") if re.search(r"[A-Za-z0-9]", segment)]
