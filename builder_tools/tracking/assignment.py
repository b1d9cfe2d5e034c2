"""The cheapest one-to-one assignment, in numpy: `scipy` (110 MB) is not a runtime dependency."""

from __future__ import annotations

import numpy as np

_FORBIDDEN_FACTOR = 1e6


def assign(cost: np.ndarray) -> list[tuple[int, int]]:
    """Return the pairs that assign as many rows to columns as possible, at the least total cost.

    Uses the shortest augmenting paths of Jonker and Volgenant (1987, "A shortest augmenting path
    algorithm for dense and sparse linear assignment problems", Computing 38), like
    `scipy.optimize.linear_sum_assignment`, and a shortcut for the usual case in which the rows'
    cheapest columns differ.

    Args:
        cost: `(n, m)`, at least 0; infinity forbids a pair.

    Returns:
        `(row, column)` by row, allowed pairs only.

    Raises:
        ValueError: If the costs are not a matrix, or are negative or NaN.
    """
    cost = np.asarray(cost, float)
    if cost.ndim != 2 or not (cost >= 0).all():
        raise ValueError(f"Expected an (n, m) matrix of costs >= 0. Received: {cost!r}.")
    if not cost.size:
        return []
    allowed = np.isfinite(cost)
    rows = np.flatnonzero(allowed.any(axis=1))
    cheapest = cost[rows].argmin(axis=1).tolist()
    if len(set(cheapest)) == len(cheapest):
        pairs = list(zip(rows.tolist(), cheapest, strict=True))
    else:  # make forbidden pairs cost more than any number of allowed ones
        dearest = max(cost[allowed].max(initial=1.0), 1.0) * _FORBIDDEN_FACTOR
        pairs = _augmented(np.where(allowed, cost, dearest))
    return [(row, column) for row, column in pairs if allowed[row, column]]


def _augmented(cost: np.ndarray) -> list[tuple[int, int]]:
    if cost.shape[0] > cost.shape[1]:
        return sorted((row, column) for column, row in _augmented(cost.T))
    num_rows, num_columns = cost.shape
    row_price, column_price = np.zeros(num_rows), np.zeros(num_columns)
    row_of = np.full(num_columns, -1)
    for row in range(num_rows):
        _augment(cost, row, row_price, column_price, row_of)
    return sorted((int(row), column) for column, row in enumerate(row_of) if row >= 0)


def _augment(
    cost: np.ndarray,
    start: int,
    row_price: np.ndarray,
    column_price: np.ndarray,
    row_of: np.ndarray,
) -> None:
    """Find the cheapest path to a free column for one more row, and shift the pairs along it."""
    distance = np.full(cost.shape[1], np.inf)
    before = np.full(cost.shape[1], start)
    done = np.zeros(cost.shape[1], bool)
    row, reached, path = start, 0.0, []
    while True:
        path.append(row)
        through = reached + cost[row] - row_price[row] - column_price
        better = ~done & (through < distance)
        distance[better], before[better] = through[better], row
        column = int(np.where(done, np.inf, distance).argmin())
        reached = distance[column]
        if row_of[column] < 0:
            break
        done[column] = True
        row = int(row_of[column])
    row_price[start] += reached
    row_price[row_of[done]] += reached - distance[done]
    column_price[done] -= reached - distance[done]
    while True:
        row = int(before[column])
        held = np.flatnonzero(row_of == row)  # the column it had before moving, if any
        row_of[column], column = row, int(held[0]) if len(held) else column
        if row == start:
            return
