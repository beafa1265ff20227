"""Values of the database as JSON: timestamps in UTC with six decimals, money as strings with two."""

import json
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from flask import Response


def timestamp(value: datetime) -> str:
    """`2026-01-31T12:00:00.000000Z`."""
    return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def timestamp_or_none(value: datetime | None) -> str | None:
    """As `timestamp`, and None stays None."""
    return None if value is None else timestamp(value)


def day_or_none(value: date | None) -> str | None:
    """`2026-01-31`, and None stays None."""
    return None if value is None else value.isoformat()


def money(value: Decimal) -> str:
    """`12.30`."""
    return f"{value:.2f}"


def answer(body: Any, status: int = 200) -> Response:
    """A JSON response, keys in the order given."""
    text = json.dumps(body, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return Response(text, status=status, mimetype="application/json")


def nothing() -> Response:
    """204 without a body."""
    return Response(status=204)
