"""What a person decides in the plan that `strangler plan new` wrote, each decision with its reason. Nothing else.

The example moves the API's endpoints only: the pages of the goods are written by the monolith's templates and stay,
reading the live copy. It ends before reads or writes move, so that their handlers are waived; before a cutover each of
these waivers has to go.
"""

from pathlib import Path
from typing import Any, Final

from ruamel.yaml import YAML

WHY: Final = "Goods change daily and are read by everybody; nobody should have to deploy the shop for them."
_PAGES = "{count} routes of HTML pages taken out: the monolith's templates write them, from the live copy"
_UNWRITTEN = "its handler is not written yet, and this example ends before it is asked"
_SAGA = "what it writes on both sides becomes a saga before the cutover, which this example does not reach"


def decide(plan: Path) -> list[str]:
    """Fill in every TODO of the plan; what was decided, line by line."""
    yaml = YAML()
    yaml.width = 4096
    document: dict[str, Any] = yaml.load(plan)
    document["why"] = WHY
    made = [f"why: {WHY}"]
    moving = [route for route in document["routes"] if route["path"].startswith("/api/")]
    made.append(_PAGES.format(count=len(document["routes"]) - len(moving)))
    document["routes"] = moving
    waivers = document.setdefault("waivers", [])
    for waiver in waivers:
        if str(waiver["because"]).startswith("TODO"):
            waiver["because"] = _SAGA
            made.append(f"{waiver['object']}: {_SAGA}")
    for route in moving:
        waivers.append({"object": route["id"], "because": _UNWRITTEN})
    made.append(f"{len(moving)} routes of the API: {_UNWRITTEN}")
    yaml.dump(document, plan)
    return made
