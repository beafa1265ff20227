"""Least-cost pairing of two short lists (shortest augmenting paths with potentials)."""

from collections.abc import Sequence

_INFINITE = float("inf")


def assign(costs: Sequence[Sequence[float]]) -> list[int]:
    """For each row the column it is paired with, at least total cost. Needs rows ≤ columns; O(rows² · columns)."""
    rows = len(costs)
    columns = len(costs[0]) if rows else 0
    assert rows <= columns
    row_potential = [0.0] * (rows + 1)
    column_potential = [0.0] * (columns + 1)
    owner = [0] * (columns + 1)
    for row in range(1, rows + 1):
        _augment(row, costs, row_potential, column_potential, owner)
    paired = [0] * rows
    for column in range(1, columns + 1):
        if owner[column]:
            paired[owner[column] - 1] = column - 1
    return paired


def _augment(
    row: int,
    costs: Sequence[Sequence[float]],
    row_potential: list[float],
    column_potential: list[float],
    owner: list[int],
) -> None:
    """Give one more row a column, moving earlier rows where that is cheaper. Index 0 is a stand-in column."""
    columns = len(owner) - 1
    owner[0] = row
    least = [_INFINITE] * (columns + 1)
    came_from = [0] * (columns + 1)
    visited = [False] * (columns + 1)
    current = 0
    while True:
        visited[current] = True
        at_row = owner[current]
        line, base = costs[at_row - 1], row_potential[at_row]
        step, following = _INFINITE, 0
        for column in range(1, columns + 1):
            if visited[column]:
                continue
            reduced = line[column - 1] - base - column_potential[column]
            if reduced < least[column]:
                least[column], came_from[column] = reduced, current
            if least[column] < step:
                step, following = least[column], column
        for column in range(columns + 1):
            if visited[column]:
                row_potential[owner[column]] += step
                column_potential[column] -= step
            else:
                least[column] -= step
        current = following
        if owner[current] == 0:
            break
    while current:
        owner[current] = owner[came_from[current]]
        current = came_from[current]
