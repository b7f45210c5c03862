"""Exact areas and overlaps of polygons."""

from __future__ import annotations

import numpy as np


def polygon_area(polygon: np.ndarray) -> float:
    """Area of a simple polygon (K, 2), whichever way round it goes."""
    return abs(signed_area(polygon))


def signed_area(polygon: np.ndarray) -> float:
    """Area by the shoelace formula, negative for one of the two directions."""
    if len(polygon) < 3:
        return 0.0
    offset = polygon - polygon[0]  # keeps the products small
    x, y = offset[:, 0], offset[:, 1]
    return float((x * np.roll(y, -1) - np.roll(x, -1) * y).sum() / 2)


def clip_polygon(subject: np.ndarray, window: np.ndarray) -> np.ndarray:
    """The part (K, 2) of a simple polygon inside a convex one (Sutherland and Hodgman 1974)."""
    window = window if signed_area(window) >= 0 else window[::-1]
    for start, end in zip(window, np.roll(window, -1, 0)):
        if len(subject) == 0:
            break
        edge = end - start
        side = edge[0] * (subject[:, 1] - start[1]) - edge[1] * (subject[:, 0] - start[0])  # >= 0 inside
        kept = []
        for point, following, a, b in zip(subject, np.roll(subject, -1, 0), side, np.roll(side, -1)):
            if a >= 0:
                kept.append(point)
            if (a > 0 > b) or (a < 0 < b):
                kept.append(point + (following - point) * (a / (a - b)))
        subject = np.asarray(kept).reshape(-1, 2)
    return subject


def is_convex(polygon: np.ndarray) -> bool:
    """All corners turn the same way, or straight on."""
    edges = np.roll(polygon, -1, 0) - polygon
    following = np.roll(edges, -1, 0)
    turns = edges[:, 0] * following[:, 1] - edges[:, 1] * following[:, 0]
    return bool((turns >= 0).all() or (turns <= 0).all())


def polygon_overlap(first: np.ndarray, second: np.ndarray, size: tuple[int, int] | None = None) -> float:
    """Intersection over union of two simple polygons (K, 2), at least one of them convex.

    Args:
        first, second: corners in order.
        size: (height, width) of the picture; only what lies in it counts.

    Raises:
        ValueError: neither is convex.
    """
    if not (np.isfinite(first).all() and np.isfinite(second).all()):
        return 0.0
    if size is not None:
        frame = box_polygon(np.array([0, 0, size[1], size[0]], dtype=float))
        first, second = clip_polygon(first, frame), clip_polygon(second, frame)
    if len(first) < 3 or len(second) < 3:
        return 0.0
    if is_convex(second):
        shared = polygon_area(clip_polygon(first, second))
    elif is_convex(first):
        shared = polygon_area(clip_polygon(second, first))
    else:
        raise ValueError("overlap of polygons: one of the two must be convex")
    union = polygon_area(first) + polygon_area(second) - shared
    return shared / union if union > 0 else 0.0


def box_polygon(box: np.ndarray) -> np.ndarray:
    """Corners (4, 2) of an xyxy box."""
    x1, y1, x2, y2 = box
    return np.array([[x1, y1], [x2, y1], [x2, y2], [x1, y2]], dtype=float)
