"""Places the card of each face on free space, as close to the face as possible.

Cards are placed one by one: beside their face if there is room, else on the nearest free space in
the image, connected to their face by a line. Those that ended up far away are then placed first,
and the better arrangement is kept. Everything is in whole pixels.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

Corners = tuple[int, int, int, int]
"""x1, y1, x2, y2 in whole pixels, the last two exclusive."""
Point = tuple[int, int]

HEAD_ABOVE = 0.35
"""How far a head extends above its face's box, in heights of the box."""
GRID = 28
"""Places tried along each side of the image if there is no room beside a face."""
ATTEMPTS, MOST_TRIED_AGAIN = 3, 30
"""Arrangements tried, and the most cards for which more than one is tried."""
TRIED_TOGETHER = 98
"""Places tried at once, nearest first; farther ones only if none of them is free."""


@dataclass(frozen=True)
class Spot:
    """A place for a card.

    Args:
        corners: Corners of the card.
        slot: Which place beside its face it is; None if elsewhere, where it needs a line.
        distance: Distance from its face, in pixels.
    """

    corners: Corners
    slot: int | None
    distance: float


@dataclass(frozen=True)
class Wish:
    """A face that needs a card.

    Args:
        face: Its box.
        size: Width and height of the card.
        slot: The card's previous place beside the face, tried first.
        offset: The card's previous position relative to the face, if it was elsewhere.
    """

    face: Corners
    size: tuple[int, int]
    slot: int | None = None
    offset: Point | None = None


def place_cards(
    wishes: Sequence[Wish],
    taken: Sequence[Corners],
    image_size: tuple[int, int],
    *,
    all_or_none: bool = False,
) -> list[Spot | None]:
    """Return a place for each card that covers no face, no other card and nothing taken.

    Args:
        wishes: The faces, in order of priority.
        taken: Other areas to keep free.
        image_size: Width and height; no card extends beyond the image.
        all_or_none: Whether placing only some cards is useless; if one fails, the rest is skipped.

    Returns:
        A spot for each face; None for cards without any room.
    """
    if not wishes:
        return []
    order, best, best_cost = list(range(len(wishes))), [], float("inf")
    for _ in range(ATTEMPTS if len(wishes) <= MOST_TRIED_AGAIN else 1):
        spots = _placed(wishes, order, taken, image_size, all_or_none)
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
    all_or_none: bool,
) -> list[Spot | None]:
    """Place the cards one by one; `full` holds what not to cover: faces, `taken` and cards."""
    count = len(wishes)
    full = np.zeros((2 * count + len(taken), 4), int)
    full[:count] = [wish.face for wish in wishes]
    full[count : count + len(taken)] = np.reshape(taken, (-1, 4))
    used = count + len(taken)
    spots: list[Spot | None] = [None] * count
    for index in order:
        wish = wishes[index]
        spot = _beside(wish, index, full[:used], count, image_size)
        spot = spot or _elsewhere(wish, index, full[:used], image_size)
        if spot is not None:
            spots[index] = spot
            full[used] = spot.corners
            used += 1
        elif all_or_none:
            break
    return spots


def _beside(
    wish: Wish, index: int, full: np.ndarray, num_faces: int, image_size: tuple[int, int]
) -> Spot | None:
    """Return the first free place next to the face, preferably one that covers no other head.

    Detected boxes end at the brows, so heads extend above them.
    """
    slots = list(_slots(wish, image_size))
    if not slots:
        return None
    places = np.array([corners for _, corners in slots])
    free = np.flatnonzero(~_overlaps(places, full).any(axis=1)).tolist()
    if not free:
        return None
    if wish.slot is not None:
        free.sort(key=lambda place: slots[place][0] != wish.slot)
    margin, heads = wish.size[1] // 4, np.delete(full[:num_faces], index, axis=0)
    heads[:, 1] -= (HEAD_ABOVE * (heads[:, 3] - heads[:, 1])).astype(int)
    heads += (-margin, 0, margin, margin)
    touched = _overlaps(places[free], heads).any(axis=1)
    slot, corners = slots[free[int(touched.argmin())]]
    return Spot(corners, slot, 0.0)


def _overlaps(some: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return which of `(n, 4)` rectangles share a pixel with which of `(m, 4)`, as `(n, m)`."""
    (x1, y1, x2, y2), (left, top, right, bottom) = some.T[..., None], others.T[:, None]
    return (x1 < right) & (left < x2) & (y1 < bottom) & (top < y2)


def _slots(wish: Wish, image_size: tuple[int, int]) -> Iterator[tuple[int, Corners]]:
    """Yield the places beside a face inside the image; for flat cards, those below it first."""
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
    wish: Wish, index: int, full: np.ndarray, image_size: tuple[int, int]
) -> Spot | None:
    """Return the nearest free place whose line to the face crosses nothing, else the nearest."""
    size = np.array(wish.size)
    most = np.array(image_size) - size
    if (most < 0).any():
        return None
    x1, y1, x2, y2 = wish.face
    columns, rows = (np.linspace(0, end, GRID).astype(int) for end in most)
    places = np.stack(np.meshgrid(columns, rows), axis=2).reshape(-1, 2)
    if wish.offset is not None:
        places = np.vstack([np.clip([x1 + wish.offset[0], y1 + wish.offset[1]], 0, most), places])
    apart = np.maximum(np.maximum((x1, y1) - places - size, places - (x2, y2)), 0)
    distance = np.hypot(*apart.T)
    order = np.argsort(distance, kind="stable")
    if wish.offset is not None:
        order = np.append(0, order[order != 0])
    others = np.delete(full, index, axis=0)
    for start in range(0, len(order), TRIED_TOGETHER):
        some = order[start : start + TRIED_TOGETHER]
        corners = np.hstack([places[some], places[some] + size])
        free = np.flatnonzero(~_overlaps(corners, full).any(axis=1))
        if len(free):
            lines = np.array([leader(corners[place], wish.face) for place in free])
            best = free[int(_crosses(lines, others).argmin())]
            return Spot(tuple(corners[best].tolist()), None, float(distance[some][best]))
    return None


def overlap(one: Corners, other: Corners) -> bool:
    """Return whether two rectangles share a pixel."""
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def leader(card: Corners, face: Corners) -> tuple[Point, Point]:
    """Return the ends of the shortest line between a card and its face."""
    (a, b), (c, d) = (_nearest(card[i::2], face[i::2]) for i in (0, 1))
    return (a, c), (b, d)


def _nearest(card: tuple[int, int], face: tuple[int, int]) -> tuple[int, int]:
    """Return the nearest coordinates of two intervals; if they overlap, twice the midpoint."""
    low, high = max(card[0], face[0]), min(card[1], face[1])
    if low <= high:
        return (low + high) // 2, (low + high) // 2
    return (card[1], face[0]) if card[1] < face[0] else (card[0], face[1])


def _crosses(lines: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """Return which of `(n, 2, 2)` lines intersect a box (Liang-Barsky clipping), as `(n,)`."""
    start, step = lines[:, None, 0], (lines[:, 1] - lines[:, 0])[:, None]
    low, high = boxes[None, :, :2] - start, boxes[None, :, 2:] - start
    with np.errstate(divide="ignore", invalid="ignore"):
        first, last = low / step, high / step
    first, last = np.minimum(first, last), np.maximum(first, last)
    still = np.broadcast_to(step == 0, first.shape)
    inside = (low < 0) & (high > 0)
    first = np.where(still, np.where(inside, -np.inf, np.inf), first)
    last = np.where(still, np.inf, last)
    enter, leave = np.maximum(first.max(axis=2), 0.0), np.minimum(last.min(axis=2), 1.0)
    return (enter < leave).any(axis=1)
