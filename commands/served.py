"""Does somebody answer each moving endpoint, on both sides?

Asked with OPTIONS, which changes nothing: an application that knows the path answers it, or refuses the method (405);
one that does not know the path answers 404. For a read that answers 404 a GET decides, because some frameworks do not
know OPTIONS. A service that `strangler plan new` has begun answers 501 and names what nobody has written.
An endpoint that must pass all the same is listed under `waivers` by its route id.
"""

import re
from collections.abc import Iterator

import httpx

from migration_plans.plan import Plan, RoutePlan
from strangler.settings import Settings

_TIMEOUT_S = 5.0
_NOT_WRITTEN = "not_written"
"""Key of the answers of `extracted.chassis.unwritten`."""


def unserved_routes(plan: Plan, settings: Settings) -> Iterator[tuple[str, str, str]]:
    """(thing, reason, mend) of every endpoint that a side does not serve, and of every side that does not answer."""
    waived = {waiver.object for waiver in plan.waivers}
    for side, url in (("legacy", settings.legacy.url), ("service", settings.service(plan.service).url)):
        with httpx.Client(base_url=url, timeout=_TIMEOUT_S, trust_env=False) as client:
            try:
                for route in plan.routes:
                    thing = f"route {route.id} ({' '.join(route.methods)} {route.path})"
                    if route.id in waived:
                        continue
                    if not _is_served(client, route):
                        yield (
                            thing,
                            f"nobody serves it: the {side} application answers 404" + _asked_with(route),
                            "correct the path in the plan, add the endpoint to that application, "
                            "or name the route's id under `waivers`",
                        )
                    elif unwritten := _unwritten(client, route):
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


def _asked_with(route: RoutePlan) -> str:
    """An application may want something else in that place than what it is asked with: a slug, an existing row."""
    return " (asked with 1 for each parameter)" if "{" in route.path else ""


def _unwritten(client: httpx.Client, route: RoutePlan) -> list[str]:
    """Methods of the route that the application itself says are still to be written."""
    answer = _ask(client, "OPTIONS", route)
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


def _is_served(client: httpx.Client, route: RoutePlan) -> bool:
    if _ask(client, "OPTIONS", route).status_code != httpx.codes.NOT_FOUND:
        return True
    return "GET" in route.methods and _ask(client, "GET", route).status_code != httpx.codes.NOT_FOUND


def _ask(client: httpx.Client, method: str, route: RoutePlan) -> httpx.Response:
    """A route matches with and without a slash at the end; an application may know only one of the two."""
    path = re.sub(r"\{[^}]*\}", "1", route.path)
    answer = client.request(method, path)
    return client.request(method, f"{path}/") if answer.status_code == httpx.codes.NOT_FOUND else answer
