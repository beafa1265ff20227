"""Pairs of answers a second on one core: 2 KB of JSON, equal once parsed, of different bytes."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from benchmarks.errors import WrongResult
from benchmarks.harness import Case
from router.compare import Answer, Verdict, compare, whole_answer

REFERENCE_PAIRS_PER_S = 5000.0
BODY_BYTES = 2048
_RUN_S = 2.0
_ITEMS = 3
_DISTINCT = 200
"""Different pairs, so that no cache of one body flatters."""


@contextmanager
def open_case(scale: float) -> Iterator[Case]:
    pairs = [_pair(number) for number in range(_DISTINCT)]
    yield Case(
        ours=lambda: _pairs_per_s(pairs, _RUN_S * scale),
        reference=lambda: REFERENCE_PAIRS_PER_S,
        unit="pairs/s of 2 KB JSON on one core",
    )


def _pairs_per_s(pairs: list[tuple[Answer, Answer]], seconds: float) -> float:
    compared, began = 0, time.process_time()
    while (spent := time.process_time() - began) < seconds:
        for control, candidate in pairs:
            if compare(control, candidate).verdict is not Verdict.MATCH:
                raise WrongResult(thing="pair", reason="equal answers did not match", mend="mend the comparison")
        compared += len(pairs)
    return compared / spent


def _pair(number: int) -> tuple[Answer, Answer]:
    """The control as the monolith writes it, the candidate with its keys in another order and other white space."""
    page = _page(number)
    backwards = [dict(reversed(item.items())) for item in page["items"]]
    control = json.dumps(page, separators=(",", ":")).encode()
    candidate = json.dumps({"next_after_id": page["next_after_id"], "items": backwards}).encode()
    assert len(control) == BODY_BYTES
    return whole_answer(200, control), whole_answer(200, candidate)


def _page(number: int) -> dict[str, Any]:
    """A list of products whose last description is as long as it takes to `BODY_BYTES`."""
    items = [_product(number * 100 + position) for position in range(_ITEMS)]
    page = {"items": items, "next_after_id": items[-1]["id"]}
    items[-1]["description"] += "." * (BODY_BYTES - len(json.dumps(page, separators=(",", ":"))))
    return page


def _product(number: int) -> dict[str, Any]:
    return {
        "id": number,
        "sku": f"SKU-{number:06d}",
        "name": f"Kettle number {number}",
        "description": "Boils a litre in three minutes.",
        "category_id": number % 40 + 1,
        "status": "active",
        "tags": ["kitchen", f"batch-{number % 7}"],
        "attributes": {"colour": "blue", "watts": 2200, "rating": 4.5, "spare": None},
        "weight_grams": 900 + number % 100,
        "version": number % 5 + 1,
        "created_at": "2026-01-01T10:00:00.123456Z",
        "updated_at": "2026-02-01T10:00:00.654321Z",
        "price": {"id": number + 7, "currency": "EUR", "amount": f"{number % 90 + 10}.90", "reference": f"r{number}"},
        "category_ids": [number % 40 + 1, number % 13 + 1],
    }
