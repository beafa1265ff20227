"""Which operation a request is for, where one path serves them all: GraphQL, JSON-RPC, SOAP. Pure."""

import json
import re
from collections.abc import Mapping
from typing import Any, Final

_NAME: Final = re.compile(r"[A-Za-z_][\w.:/#-]{0,119}")


def operation_of(headers: Mapping[str, str], body: str | None) -> str | None:
    """The operation's name; None when the request names none, or several in one."""
    action = headers.get("soapaction", "").strip("\"' ")
    if action:
        return _named(re.split(r"[/#:]", action.rstrip("/"))[-1])
    if not body or '"' not in body:
        return None
    try:
        asked = json.loads(body)
    except ValueError:
        return None
    if not isinstance(asked, dict):
        return None
    if "query" in asked or "extensions" in asked:
        return _named(asked.get("operationName"))
    return _named(asked.get("method")) if "jsonrpc" in asked else None


def _named(name: Any) -> str | None:
    return name if isinstance(name, str) and _NAME.fullmatch(name) else None
