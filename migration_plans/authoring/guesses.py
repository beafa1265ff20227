"""Which functionalities of a facts document nobody has seen run: code alone says what they do. Pure."""

import json
from collections.abc import Mapping

_BY_CODE = "code"
"""`evidence` of what `strangler gather facts --code` concludes."""


def guesses_in(text: str) -> Mapping[str, str]:
    """Functionality → file and line of its code, `somewhere` when that is not said. `text`: of a valid document."""
    functionalities = json.loads(text).get("functionalities", {})
    return {
        name: str(facts.get("where") or "somewhere")
        for name, facts in functionalities.items()
        if facts.get("evidence") == _BY_CODE
    }
