"""What a person decides and writes after `strangler plan new`, each decision with its reason.

The reads of options and categories are written (`written_by_hand/goods.py`) and move. The other reads go on being
answered by the monolith, from the live copy, until somebody writes them. The API's writes stay in the plan: after a
cutover the fence refuses them at the monolith. This example ends before it: their handlers and sagas are waived.
"""

import re
import shutil
from pathlib import Path
from typing import Any, Final

from ruamel.yaml import YAML

from examples.django_oscar.written_by_hand.goods import WRITTEN

HAND: Final = Path(__file__).resolve().parent / "written_by_hand"
WHY: Final = "Goods change daily and are read by everybody; nobody should have to deploy the shop for them."
_UNWRITTEN: Final = "its handler is not written yet, and this example ends before it is asked"
_SAGA: Final = "what it writes on both sides becomes a saga before the cutover, which this example does not reach"
_CAUGHT: Final = "the route that would have caught it is taken out"
_SHADOW: Final = {"sample_percent": 100, "min_compared": 100, "max_upper_bound": 0.04, "max_failed": 0.04}
"""This traffic is slow: 100 comparisons without a difference bound the share of differences by 3 %."""


def decide(plan: Path) -> list[str]:
    """Fill in every TODO of the plan; what was decided, line by line."""
    yaml = YAML()
    yaml.width = 4096
    document: dict[str, Any] = yaml.load(plan)
    document["why"] = WHY
    made = [f"why: {WHY}"]
    written = {path.rstrip("/") for path in WRITTEN}
    routes = document["routes"]
    moving = [
        route
        for route in routes
        if route["path"].startswith("/api/") and (route["kind"] == "write" or route["path"] in written)
    ]
    made.append(
        f"{len(routes) - len(moving)} of {len(routes)} routes taken out: the monolith answers, from the live copy"
    )
    document["routes"] = moving
    waivers = document.setdefault("waivers", [])
    for waiver in waivers:
        if str(waiver["because"]).startswith("TODO"):
            waiver["because"] = _CAUGHT if "matches its requests" in waiver["because"] else _SAGA
            made.append(f"{waiver['object']}: {waiver['because']}")
    for route in moving:
        if route["kind"] == "write":
            waivers.append({"object": route["id"], "because": _UNWRITTEN})
            made.append(f"{route['id']}: {_UNWRITTEN}")
    document["shadow"].update(_SHADOW)
    document["ramp"]["hold_s"] = 2
    yaml.dump(document, plan)
    return made


def write_handlers(package: Path) -> list[str]:
    """Put the written reads in the place of the skeleton's; the paths that are answered now."""
    shutil.copy(HAND / "goods.py", package)
    routes = package / "routes.py"
    text = routes.read_text()
    found = []
    for path, function in WRITTEN.items():
        unwritten = re.compile(
            rf'@unwritten\(\s*"GET",\s*"{re.escape(path)}",.*?^\)$\n(?P<rest>async def .*?)raise NotImplementedError$',
            re.DOTALL | re.MULTILINE,
        )
        call = f"return await goods.{function}(request{', id' if '{id}' in path else ''})"
        text, count = unwritten.subn(rf'@router.get("{path}")\n\g<rest>{call}', text)
        found += [path] * count
    package_name = package.name
    routes.write_text(text.replace("\nrouter = ", f"\nfrom {package_name} import goods\n\nrouter = ", 1))
    return found
