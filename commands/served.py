"""Does somebody answer each moving endpoint, on both sides?

Asked with OPTIONS, which changes nothing: an application that knows the path answers it, or refuses the method (405);
one that does not know the path answers 404. For a read that answers 404 a GET decides, because some frameworks do not
know OPTIONS. An endpoint that must pass all the same is listed under `waivers` by its route id.
"""

import re
from collections.abc import Iterator

import httpx

from migration_plans.plan import Plan, RoutePlan
from strangler.settings import Settings

_TIMEOUT_S = 5.0


def unserved_routes(plan: Plan, settings: Settings) -> Iterator[tuple[str, str, str]]:
    """(thing, reason, mend) of every endpoint that a side does not serve, and of every side that does not answer."""
    waived = {waiver.object for waiver in plan.waivers}
    for side, url in (("legacy", settings.legacy.url), ("service", settings.service(plan.service).url)):
        with httpx.Client(base_url=url, timeout=_TIMEOUT_S, trust_env=False) as client:
            try:
                for route in plan.routes:
                    if route.id not in waived and not _is_served(client, route):
                        yield (
                            f"route {route.id} ({' '.join(route.methods)} {route.path})",
                            f"nobody serves it: the {side} application answers 404",
                            "correct the path in the plan, add the endpoint to that application, "
                            "or name the route under `waivers`",
                        )
            except httpx.HTTPError as error:
                yield (
                    f"{side} application at {url}",
                    f"does not answer: {type(error).__name__}",
                    "start it, or correct its url in strangler.toml",
                )


def _is_served(client: httpx.Client, route: RoutePlan) -> bool:
    path = re.sub(r"\{[^}]*\}", "1", route.path)
    if client.options(path).status_code != httpx.codes.NOT_FOUND:
        return True
    return "GET" in route.methods and client.get(path).status_code != httpx.codes.NOT_FOUND
