"""Which of a plan's routes a recorded endpoint is asked through. Pure."""

from collections.abc import Sequence

from migration_plans.authoring.names import covers, shape
from migration_plans.gather.paths import as_read, unified
from migration_plans.plan import Plan, RoutePlan

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class PlannedRoutes:
    """A plan's routes as the router tries them: without the slash at the end, the more specific template first."""

    def __init__(self, plan: Plan) -> None:
        routes = [(_segments(route.path), route) for route in plan.routes]
        self._routes: Sequence[tuple[tuple[str, ...], RoutePlan]] = sorted(
            routes, key=lambda each: [segment == "{}" for segment in each[0]]
        )

    def route_of(self, functionality: str) -> RoutePlan | None:
        """The route that requests of `METHOD /path/{x}` match; None for other endpoints, and for jobs."""
        method, template = endpoint(functionality)
        if not template:
            return None
        asked, segments = as_read(method), _segments(unified(template))
        for general, route in self._routes:
            if asked in map(as_read, route.methods) and covers(general, segments):
                return route
        return None


def endpoint(functionality: str) -> tuple[str, str]:
    """(method, template), or empty texts for what is no endpoint."""
    method, _, template = functionality.partition(" ")
    return (method, template) if method in _METHODS and template.startswith("/") else ("", "")


def _segments(path: str) -> tuple[str, ...]:
    return shape(path.rstrip("/"))
