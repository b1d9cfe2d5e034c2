"""Where what is said about each face stands: on free ground, as near to it as can be.

Cards are placed one by one: beside their face where nothing else is, else on the nearest free
ground of the image, tied to their face by a line. Those that had to go far are then tried first,
and the better of the two ways is kept. Everything is in whole pixels.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

Corners = tuple[int, int, int, int]
"""x1, y1, x2, y2 in whole pixels, the last two exclusive."""
Point = tuple[int, int]

HEAD_ABOVE = 0.35
"""How far a head reaches over its face's box, in heights of the box."""
GRID = 28
"""Places tried along each side of the image where there is no room beside a face."""
ATTEMPTS = 3
LINES_TRIED = 80
"""Free places whose line to the face is looked at, the nearest first."""


@dataclass(frozen=True)
class Spot:
    """A place for a card.

    Args:
        corners: Of the card.
        slot: Which place beside its face it is; None elsewhere, where it needs a line.
        distance: From its face, in pixels.
    """

    corners: Corners
    slot: int | None
    distance: float


@dataclass(frozen=True)
class Wish:
    """A face that wants a card.

    Args:
        face: Its box.
        size: Width and height of the card.
        slot: The place beside the face it had a moment ago, tried first.
        corners: Where it stood then, relative to the face, where that was elsewhere.
    """

    face: Corners
    size: tuple[int, int]
    slot: int | None = None
    offset: Point | None = None


def place_cards(
    wishes: Sequence[Wish], taken: Sequence[Corners], image_size: tuple[int, int]
) -> list[Spot | None]:
    """Return a place for each card that covers no face, no other card and nothing taken.

    Args:
        wishes: The faces, those first served first.
        taken: What else is to stay free.
        image_size: Width and height; no card leaves the image.

    Returns:
        None where there is no room at all.
    """
    order, best, best_cost = list(range(len(wishes))), [], float("inf")
    for _ in range(ATTEMPTS):
        spots = _placed(wishes, order, taken, image_size)
        cost = sum(sum(image_size) if spot is None else spot.distance for spot in spots)
        if cost < best_cost:
            best, best_cost = spots, cost
        far = [i for i in order if spots[i] is None or spots[i].slot is None]
        if not far or order[: len(far)] == far:
            break
        order = far + [i for i in order if i not in far]
    return best


def _placed(
    wishes: Sequence[Wish],
    order: Sequence[int],
    taken: Sequence[Corners],
    image_size: tuple[int, int],
) -> list[Spot | None]:
    faces = [wish.face for wish in wishes]
    spots: list[Spot | None] = [None] * len(wishes)
    placed: list[Corners] = []
    for index in order:
        wish = wishes[index]
        others = [face for i, face in enumerate(faces) if i != index]
        full = [*faces, *taken, *placed]
        spot = _beside(wish, others, full, image_size) or _elsewhere(
            wish, [*others, *placed], full, image_size
        )
        if spot is not None:
            spots[index] = spot
            placed.append(spot.corners)
    return spots


def _beside(
    wish: Wish, others: Sequence[Corners], full: Sequence[Corners], image_size: tuple[int, int]
) -> Spot | None:
    """Return the first free place that touches the face, better one that leaves the other heads
    free, too: detectors end at the brows, so heads reach higher than boxes."""
    free = [
        (slot, corners)
        for slot, corners in _slots(wish, image_size)
        if not any(overlap(corners, other) for other in full)
    ]
    if wish.slot is not None:
        free.sort(key=lambda pair: pair[0] != wish.slot)
    margin = wish.size[1] // 4
    heads = [
        (x1 - margin, y1 - round(HEAD_ABOVE * (y2 - y1)), x2 + margin, y2 + margin)
        for x1, y1, x2, y2 in others
    ]
    for slot, corners in free:
        if not any(overlap(corners, head) for head in heads):
            return Spot(corners, slot, 0.0)
    return Spot(free[0][1], free[0][0], 0.0) if free else None


def _slots(wish: Wish, image_size: tuple[int, int]) -> Iterator[tuple[int, Corners]]:
    """Yield the places beside a face that lie in the image: flat cards under the chin first."""
    (x1, y1, x2, y2), (width, height) = wish.face, wish.size
    columns = x1, x2 - width, (x1 + x2 - width) // 2
    rows = y1, y2 - height, (y1 + y2 - height) // 2
    most_x, most_y = image_size[0] - width, image_size[1] - height
    below = [(min(max(x, 0), most_x), y2) for x in columns]
    above = [(min(max(x, 0), most_x), y1 - height) for x in columns]
    sides = [(x, min(max(y, 0), most_y)) for y in rows for x in (x2, x1 - width)]
    slots = list(enumerate(below + sides + above))
    is_flat = height < (y2 - y1) / 2
    for slot, (x, y) in slots if is_flat else slots[3:9] + slots[:3] + slots[9:]:
        if 0 <= x <= most_x and 0 <= y <= most_y:
            yield slot, (x, y, x + width, y + height)


def _elsewhere(
    wish: Wish, crossed: Sequence[Corners], full: Sequence[Corners], image_size: tuple[int, int]
) -> Spot | None:
    """Return the nearest free place whose line to the face crosses nothing, else the nearest."""
    width, height = wish.size
    most_x, most_y = image_size[0] - width, image_size[1] - height
    if most_x < 0 or most_y < 0:
        return None
    columns, rows = (np.linspace(0, most, GRID).astype(int) for most in (most_x, most_y))
    x, y = (grid.ravel() for grid in np.meshgrid(columns, rows))
    if wish.offset is not None:
        x = np.append(min(max(wish.face[0] + wish.offset[0], 0), most_x), x)
        y = np.append(min(max(wish.face[1] + wish.offset[1], 0), most_y), y)
    free = np.ones(len(x), bool)
    for x1, y1, x2, y2 in full:
        free &= (x >= x2) | (x + width <= x1) | (y >= y2) | (y + height <= y1)
    x, y, stays = x[free], y[free], free[:1].all() and wish.offset is not None
    x1, y1, x2, y2 = wish.face
    across = np.maximum(np.maximum(x1 - x - width, x - x2), 0)
    up = np.maximum(np.maximum(y1 - y - height, y - y2), 0)
    distance = np.hypot(across, up)
    order = np.argsort(distance, kind="stable")[:LINES_TRIED]
    if stays:
        order = np.append(0, order)
    spots = [
        Spot(
            (int(x[i]), int(y[i]), int(x[i]) + width, int(y[i]) + height), None, float(distance[i])
        )
        for i in order
    ]
    for spot in spots:
        line = leader(spot.corners, wish.face)
        if not any(_crosses(line, other) for other in crossed):
            return spot
    return spots[0] if spots else None


def overlap(one: Corners, other: Corners) -> bool:
    """Return whether two rectangles share a pixel."""
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def leader(card: Corners, face: Corners) -> tuple[Point, Point]:
    """Return the ends of the shortest line between a card and its face."""
    (a, b), (c, d) = (_nearest(card[i::2], face[i::2]) for i in (0, 1))
    return (a, c), (b, d)


def _nearest(card: tuple[int, int], face: tuple[int, int]) -> tuple[int, int]:
    """Return the nearest coordinates of two stretches, twice the middle of what they share."""
    low, high = max(card[0], face[0]), min(card[1], face[1])
    if low <= high:
        return (low + high) // 2, (low + high) // 2
    return (card[1], face[0]) if card[1] < face[0] else (card[0], face[1])


def _crosses(line: tuple[Point, Point], box: Corners) -> bool:
    """Return whether a line reaches into a box (Liang and Barsky's clipping)."""
    (x, y), (end_x, end_y) = line
    enter, leave = 0.0, 1.0
    for start, step, low, high in ((x, end_x - x, box[0], box[2]), (y, end_y - y, box[1], box[3])):
        if not step:
            if not low < start < high:
                return False
            continue
        first, last = sorted(((low - start) / step, (high - start) / step))
        enter, leave = max(enter, first), min(leave, last)
    return enter < leave
