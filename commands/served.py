"""Does somebody answer each moving endpoint, on both sides?

Asked with OPTIONS, which changes nothing: an application that knows the path answers it, or refuses the method (405);
one that does not know the path answers 404. For a read that answers 404 a GET decides, because some frameworks do not
know OPTIONS. A 404 may also be about a row: then it is held against what the application says to a path that nobody
serves. A service that `strangler plan new` has begun answers 501 and names what nobody has written.
An endpoint that must pass all the same is listed under `waivers` by its route id.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Final, Literal
from urllib.parse import unquote

import httpx

from commands.asked_paths import PathsOf
from migration_plans.plan import Plan, RoutePlan
from strangler.settings import Settings

Verdict = Literal["served", "unserved", "untold", "alike"]
"""`untold`: the answer is the same 404 as for a path that nobody serves, and it need not mean the path. `alike`: every
path is answered in that way, by something else than a 404: nothing can be told."""

Said = tuple[int, str, str]
"""Status, type and text of an answer, without what differs between two answers of one kind."""

_TIMEOUT_S = 5.0
_NOT_WRITTEN = "not_written"
"""Key of the answers of `extracted.chassis.unwritten`."""
_NOBODYS: Final = ("strangler-asks-for-what-nobody-serves", "and-once-more-for-what-nobody-serves")
_NUMBER: Final = re.compile(r"[0-9a-fA-F]*\d[0-9a-fA-F-]*")
"""A time, a request's id: differs from answer to answer."""
_COMPARED_MOST: Final = 100_000
"""Characters of a body."""


def unserved_routes(
    plan: Plan, settings: Settings, paths_of: PathsOf, note: Callable[[str], None]
) -> Iterator[tuple[str, str, str]]:
    """(thing, reason, mend) of every endpoint that a side does not serve, and of every side that does not answer.

    `note` is told what cannot be told and is no reason to stop: that the monolith, whose endpoints were recorded,
    answers 404; that an application answers every path in the same way.
    """
    waived = {waiver.object for waiver in plan.waivers}
    routes = [route for route in plan.routes if route.id not in waived]
    for side, url in (("legacy", settings.legacy.url), ("service", settings.service(plan.service).url)):
        with httpx.Client(base_url=url, timeout=_TIMEOUT_S, trust_env=False) as client:
            try:
                for route, verdict in zip(routes, verdicts(client, routes, paths_of), strict=True):
                    thing = f"route {route.id} ({' '.join(route.methods)} {route.path})"
                    if verdict == "alike":
                        note(f"{thing}: the {side} application answers every path alike, so nobody can tell")
                    elif verdict == "untold" and side == "legacy":
                        note(f"{thing}: could not tell whether the legacy application serves it: {_same_404(route)}")
                    elif verdict == "untold":
                        yield (
                            thing,
                            f"could not tell whether the service application serves it: {_same_404(route)}",
                            "answer OPTIONS there, name paths that it answers with `--requests`, or, if you know it "
                            "is served, name the route's id under `waivers`",
                        )
                    elif verdict == "unserved":
                        yield (
                            thing,
                            f"nobody serves it: the {side} application answers 404",
                            "correct the path in the plan, add the endpoint to that application, "
                            "or name the route's id under `waivers`",
                        )
                    elif unwritten := _unwritten(client, route, paths_of(route)[0]):
                        yield (
                            thing,
                            f"the {side} application answers 501: {', '.join(unwritten)} is not written yet",
                            "write its handler",
                        )
            except httpx.HTTPError as error:
                yield (
                    f"{side} application at {url}",
                    f"does not answer: {type(error).__name__}",
                    "start it, or correct its url in strangler.toml",
                )


def verdicts(client: httpx.Client, routes: Sequence[RoutePlan], paths_of: PathsOf) -> list[Verdict]:
    """Of each route, by what the application answers now. Raises `httpx.HTTPError` when it does not."""
    known: dict[tuple[str, str], Said] = {}

    def nobodys(method: str, path: str) -> Said:
        """Routes that differ in one word share what is asked for beside them."""
        if (method, path) not in known:
            known[method, path] = _said(_ask(client, method, path), path)
        return known[method, path]

    judged = [_judged(client, route, paths_of(route), nobodys) for route in routes]
    knows_options = any(method == "OPTIONS" for _, method in judged)

    def sure(route: RoutePlan) -> bool:
        """Whether the same 404 as for any path means that there is none."""
        return "{" not in route.path and (knows_options or "GET" in route.methods)

    return [
        "unserved" if verdict == "untold" and sure(route) else verdict
        for route, (verdict, _) in zip(routes, judged, strict=True)
    ]


def _judged(
    client: httpx.Client, route: RoutePlan, paths: Sequence[str], nobodys: Callable[[str, str], Said]
) -> tuple[Verdict, str]:
    """`served`, with the method that told so; else by the last of them."""
    verdict: Verdict = "untold"
    for method in ("OPTIONS", *(["GET"] if "GET" in route.methods else [])):
        unknown, again = (nobodys(method, path) for path in _nobodys(route.path))
        # Of answers that are never the same twice only the kind can be compared.
        parts = 3 if unknown == again else 2
        answers = [(path, _ask(client, method, path)) for path in paths]
        if any(_said(answer, path)[:parts] != unknown[:parts] for path, answer in answers):
            return "served", method
        verdict = "untold" if unknown[0] == httpx.codes.NOT_FOUND else "alike"
    return verdict, ""


def _nobodys(path: str) -> list[str]:
    """Paths like this one, with something else in the last place that is no parameter."""
    segments = re.sub(r"\{[^}]*\}", "1", path).split("/")
    literal = max((at for at, segment in enumerate(path.split("/")) if segment and "{" not in segment), default=-1)
    return [
        "/".join([*segments[:literal], word, *(segments[literal + 1 :] if literal >= 0 else [])]) for word in _NOBODYS
    ]


def _said(answer: httpx.Response, path: str) -> Said:
    """An answer without what differs between two answers of one kind: the path, times, numbers of requests."""
    text = answer.text[:_COMPARED_MOST]
    for own in sorted({path, unquote(path), *path.split("/"), *unquote(path).split("/")}, key=len, reverse=True):
        if own not in ("", "/"):
            text = re.sub(rf"(?<![\w-]){re.escape(own)}(?![\w-])", "", text)
    return answer.status_code, answer.headers.get("content-type", ""), _NUMBER.sub("0", text)


def _same_404(route: RoutePlan) -> str:
    return "it answers 404, as to a path that nobody serves" + (
        "; with other values in the path it may answer" if "{" in route.path else "; it does not know OPTIONS"
    )


def _unwritten(client: httpx.Client, route: RoutePlan, path: str) -> list[str]:
    """Methods of the route that the application itself says are still to be written."""
    answer = _ask(client, "OPTIONS", path)
    if answer.status_code != httpx.codes.NOT_IMPLEMENTED:
        return []
    try:
        said = {_shape(str(endpoint)) for endpoint in answer.json()[_NOT_WRITTEN]}
    except (ValueError, TypeError, KeyError):
        return []
    # A path that is written may be answered by the route of a more general one that is not.
    return [method for method in route.methods if _shape(f"{method} {route.path}") in said]


def _shape(endpoint: str) -> str:
    """Without the names of parameters and a slash at the end."""
    return re.sub(r"\{[^}]*\}", "{}", endpoint).rstrip("/")


def _ask(client: httpx.Client, method: str, path: str) -> httpx.Response:
    """A route matches with and without a slash at the end; an application may know only one of the two."""
    answer = client.request(method, path)
    if answer.status_code != httpx.codes.NOT_FOUND:
        return answer
    other = client.request(method, path.removesuffix("/") if path.endswith("/") and path != "/" else f"{path}/")
    return answer if other.status_code == httpx.codes.NOT_FOUND else other
