"""Where services and tables lie in a picture of the cut. Pure, and the same for the same facts.

Services are discs as large as they have tables; discs that share much are drawn together, and then pushed apart until
none overlaps. Within its disc, a table lies the nearer to the rim the more it is used from outside.
"""

from dataclasses import dataclass

import numpy as np

from migration_plans.assess.facts import FloatArray
from migration_plans.assess.usage import Usage

TABLE_ROOM = 34.0
"""Half the distance between tables, in pixels."""
_MARGIN = 46.0
_STEPS = 300
_PUSHES = 400
_GOLDEN_ANGLE = np.pi * (3 - np.sqrt(5))


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Layout:
    """Pixels. `centers`: services × 2; `radii`: per service; `places`: tables × 2."""

    centers: FloatArray
    radii: FloatArray
    places: FloatArray
    width: float
    height: float


def lay_out(use: Usage) -> Layout:
    """All tables of all services."""
    count = len(use.services.names)
    sizes = np.bincount(use.services.of_table, minlength=count)
    radii = TABLE_ROOM * np.sqrt(sizes) * 1.15 + 16
    between, outside = _ties(use)
    centers = _apart(_lying(_drawn(between, radii)), radii)
    places = np.zeros((len(use.facts.tables), 2))
    for service in range(count):
        tables = use.services.tables(service)
        inner_first = sorted(tables, key=lambda table: (outside[table], table))
        number = np.arange(len(tables))
        distance = (radii[service] - 30) * np.sqrt((number + 0.5) / max(len(tables), 1)) if len(tables) > 1 else number
        angle = number * _GOLDEN_ANGLE
        places[inner_first] = centers[service] + np.column_stack([distance * np.cos(angle), distance * np.sin(angle)])
    low = (centers - radii[:, None]).min(axis=0) - _MARGIN
    high = (centers + radii[:, None]).max(axis=0) + _MARGIN
    return Layout(
        centers=centers - low,
        radii=radii,
        places=places - low,
        width=float(high[0] - low[0]),
        height=float(high[1] - low[1]),
    )


def _ties(use: Usage) -> tuple[FloatArray, FloatArray]:
    """Services × services: how often used together, damped; and per table, uses from elsewhere."""
    count = len(use.services.names)
    between = np.zeros((count, count))
    for read, written in zip(use.tables_read, use.tables_written, strict=True):
        services = sorted({use.service_of(table) for table in read | written})
        if len(services) > 1:
            between[np.ix_(services, services)] += 1 / (len(services) - 1)
    for key in use.facts.foreign_keys:
        pair = use.service_of(key.source), use.service_of(key.target)
        between[pair] += 0.5
        between[pair[::-1]] += 0.5
    np.fill_diagonal(between, 0)
    all_uses = use.reads + use.writes
    own = all_uses[np.arange(len(use.facts.tables)), use.services.of_table]
    return np.log1p(between), np.asarray(all_uses.sum(axis=1) - own)


def _drawn(between: FloatArray, radii: FloatArray) -> FloatArray:
    """Fruchterman and Reingold's springs from a ring, cooling down."""
    count = len(radii)
    turn = 2 * np.pi * np.arange(count) / max(count, 1)
    ideal = 2.2 * radii.mean()
    place: FloatArray = np.column_stack([np.cos(turn), np.sin(turn)]) * ideal * max(count, 1) / 4
    strength = between / max(between.max(), 1e-9)
    for step in range(_STEPS if count > 1 else 0):
        apart = place[:, None] - place[None, :]
        distance = np.maximum(np.sqrt((apart**2).sum(axis=2)), 1.0)
        force = ideal**2 / distance**2 - strength * distance / ideal - 0.02 * distance / ideal
        np.fill_diagonal(force, 0)
        push = (apart / distance[:, :, None] * force[:, :, None]).sum(axis=1) * ideal / 4
        length = np.maximum(np.sqrt((push**2).sum(axis=1)), 1e-9)
        most = ideal * (1 - step / _STEPS) * 0.5 + 1
        place = place + push / length[:, None] * np.minimum(length, most)[:, None]
    return place


def _lying(place: FloatArray) -> FloatArray:
    """Turned so that it is the widest from left to right, as screens are."""
    centered = place - place.mean(axis=0)
    axes = np.linalg.eigh(centered.T @ centered)[1]
    axes *= np.where(axes.sum(axis=0) < 0, -1, 1)
    turned: FloatArray = centered @ axes[:, ::-1]
    return turned


def _apart(place: FloatArray, radii: FloatArray) -> FloatArray:
    """No two discs overlap."""
    wanted = radii[:, None] + radii[None, :] + 26
    for _ in range(_PUSHES):
        apart = place[:, None] - place[None, :]
        distance = np.maximum(np.sqrt((apart**2).sum(axis=2)), 1e-6)
        missing = np.maximum(wanted - distance, 0)
        np.fill_diagonal(missing, 0)
        if missing.max(initial=0.0) < 0.5:
            break
        place = place + (apart / distance[:, :, None] * missing[:, :, None]).sum(axis=1) * 0.4
    return place
