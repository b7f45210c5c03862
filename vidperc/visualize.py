"""Drawing objects on frames: boxes, identities in stable colours, labels, scores, trails and masks."""

from __future__ import annotations

import os
import sys
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from types import TracebackType

import cv2
import numpy as np

from .structures import Frame, Instances

Color = tuple[int, int, int]
GOLDEN = 0.618033988749895
FONT = cv2.FONT_HERSHEY_DUPLEX
NEUTRAL: Color = (235, 235, 235)
IGNORED: Color = (160, 160, 160)


@lru_cache(maxsize=65536)
def color_of(identity: int) -> Color:
    """The RGB colour of an id, always the same; ids near each other get hues far apart.

    Hues step by the golden ratio, which keeps any run of ids apart; saturation and brightness alternate.
    """
    hue = (identity * GOLDEN + 0.07) % 1.0
    saturation, value = ((0.85, 1.0), (0.6, 1.0), (0.9, 0.8))[identity // 5 % 3]
    hsv = np.array([[[hue * 360, saturation, value]]], dtype=np.float32)
    red, green, blue = (round(float(channel) * 255) for channel in cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)[0, 0])
    return red, green, blue


@dataclass(slots=True)
class Trails:
    """Where tracks were lately: at most `length` points of each, forgotten when unseen for `patience` frames.

    The caller keeps it, one per video, and hands it to `draw`, which adds the frame's objects.
    """

    length: int = 40
    patience: int = 30
    points: dict[int, deque[tuple[int, int]]] = field(default_factory=dict)
    _seen: dict[int, int] = field(default_factory=dict)
    _frame: int = 0

    def update(self, instances: Instances) -> None:
        """Add the middle of each object's lower edge, where it stands."""
        self._frame += 1
        if instances.ids is not None:
            boxes = instances.boxes.detach().cpu().numpy()
            for identity, (x1, _, x2, y2) in zip(instances.ids.tolist(), boxes.tolist(), strict=True):
                trail = self.points.setdefault(identity, deque(maxlen=self.length))
                trail.append((round((x1 + x2) / 2), round(y2)))
                self._seen[identity] = self._frame
        for identity in [key for key, seen in self._seen.items() if self._frame - seen > self.patience]:
            del self.points[identity], self._seen[identity]


def draw(
    picture: Frame | np.ndarray,
    instances: Instances,
    *,
    classes: Sequence[str] = (),
    trails: Trails | None = None,
    scores: bool = True,
    labels: bool = True,
    min_score: float = 0.0,
    caption: str = "",
    opacity: float = 0.45,
) -> np.ndarray:
    """A copy of the (H, W, 3) uint8 RGB picture with the objects drawn on it.

    Masks come first, then trails, boxes and the tags: id, class (by its name in `classes`) and score.
    Objects under `min_score` and `ignored` ones are left out. `trails`, when given, is updated.
    """
    canvas = np.array(picture.array if isinstance(picture, Frame) else picture, order="C")
    shown = _shown(instances, min_score)
    colors = [_color(shown, row) for row in range(len(shown))]
    if shown.masks is not None:
        draw_masks(canvas, shown.masks.detach().cpu().numpy(), colors, opacity)
    if trails is not None:
        trails.update(shown)
        draw_trails(canvas, trails)
    scale = _scale(canvas)
    boxes = shown.boxes.detach().cpu().numpy()
    limit = float(max(canvas.shape)) * 4
    corners = np.clip(np.nan_to_num(boxes, nan=-1.0), -limit, limit).round().astype(int).tolist()
    for corner, color in zip(corners, colors, strict=True):
        _draw_box(canvas, corner, color, scale)
    for row, (corner, color) in enumerate(zip(corners, colors, strict=True)):
        words = _tag(shown, row, classes, labels, scores)
        text = _fitting(words, max(1.7 * (corner[2] - corner[0]), 60 * scale), scale)
        draw_tag(canvas, text, corner[0], corner[1], color, scale)
    if caption:
        draw_tag(canvas, caption, round(8 * scale), round(30 * scale), (25, 25, 25), scale)
    return canvas


def draw_ignored(canvas: np.ndarray, instances: Instances) -> None:
    """Hatch the boxes of the ignored objects in grey, in place; `draw` leaves these out."""
    if instances.ignored is None:
        return
    rows, columns = np.indices(canvas.shape[:2])
    lines = (rows + columns) % 8 < 2
    for x1, y1, x2, y2 in instances.boxes[instances.ignored].clamp_min(0).round().int().tolist():
        window = canvas[y1:y2, x1:x2]
        window[lines[y1:y2, x1:x2]] = IGNORED
        cv2.rectangle(canvas, (x1, y1), (x2, y2), IGNORED, 1)


def draw_masks(canvas: np.ndarray, masks: np.ndarray, colors: Sequence[Color], opacity: float = 0.45) -> None:
    """Tint the pixels of each (N, H, W) bool mask and outline it, in place."""
    for mask, color in zip(masks, colors, strict=True):
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        if not len(rows):
            continue
        top, left = int(rows[0]), int(columns[0])
        part = mask[top : rows[-1] + 1, left : columns[-1] + 1].astype(np.uint8)
        window = canvas[top : rows[-1] + 1, left : columns[-1] + 1]
        tint = np.empty_like(window)
        tint[:] = color
        cv2.copyTo(cv2.addWeighted(window, 1 - opacity, tint, opacity, 0), part, window)
        outlines, _ = cv2.findContours(part, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
        cv2.drawContours(canvas, outlines, -1, color, 1, cv2.LINE_8, offset=(left, top))


def draw_trails(canvas: np.ndarray, trails: Trails) -> None:
    """Draw the way each track came, fading towards its past, in place."""
    scale = _scale(canvas)
    for identity, points in trails.points.items():
        line = np.array(points, dtype=np.int32)
        color, parts = color_of(identity), 4
        for part in range(parts):
            begin, end = len(line) * part // parts, len(line) * (part + 1) // parts + 1
            share = (part + 1) / parts
            faded = tuple(int(channel * (0.45 + 0.55 * share)) for channel in color)
            thickness = max(1, round(2.2 * scale * share))
            cv2.polylines(canvas, [line[begin:end].reshape(-1, 1, 2)], False, faded, thickness, cv2.LINE_AA)


def _shown(instances: Instances, min_score: float) -> Instances:
    if instances.scores is not None and min_score > 0:
        instances = instances[instances.scores >= min_score]
    if instances.ignored is not None:
        instances = instances[~instances.ignored]
    return instances


def _color(instances: Instances, row: int) -> Color:
    if instances.ids is not None:
        return color_of(int(instances.ids[row]))
    return NEUTRAL if instances.labels is None else color_of(int(instances.labels[row]) + 1)


def _scale(canvas: np.ndarray) -> float:
    """Size of lines and letters: 1 for a picture 720 pixels high."""
    return max(0.55, min(canvas.shape[:2]) / 720)


def _draw_box(canvas: np.ndarray, corner: Sequence[int], color: Color, scale: float) -> None:
    x1, y1, x2, y2 = corner
    thickness = max(1, round(2 * scale))
    if scale > 0.7:  # a dark rim keeps boxes apart from a bright background, where there is room for it
        cv2.rectangle(canvas, (x1, y1), (x2, y2), (20, 20, 20), thickness + 2)
    cv2.rectangle(canvas, (x1, y1), (x2, y2), color, thickness)


def _tag(instances: Instances, row: int, classes: Sequence[str], labels: bool, scores: bool) -> list[str]:
    """The tag's words in order of importance: id, class, score."""
    words = []
    if instances.ids is not None:
        words.append(str(int(instances.ids[row])))
    if labels and instances.labels is not None and classes:
        label = int(instances.labels[row])
        words.append(classes[label] if 0 <= label < len(classes) else f"class {label}")
    if scores and instances.scores is not None:
        words.append(f"{float(instances.scores[row]):.2f}")
    return words


def _fitting(words: list[str], room: float, scale: float) -> str:
    """As many of the words as are not much wider than the box, so that tags in a crowd do not hide each other."""
    for count in range(len(words), 1, -1):
        text = " ".join(words[:count])
        if cv2.getTextSize(text, FONT, _letters(scale), 1)[0][0] <= room:
            return text
    return words[0] if words else ""


def _letters(scale: float) -> float:
    return max(0.38, 0.55 * scale)


def draw_tag(canvas: np.ndarray, text: str, x: int, y: int, color: Color, scale: float) -> None:
    """Text on a filled ground of `color` standing on the point (x, y), kept inside the picture."""
    if not text:
        return
    size, pad = _letters(scale), max(2, round(3 * scale))
    (width, height), baseline = cv2.getTextSize(text, FONT, size, 1)
    x = int(np.clip(x, 0, max(0, canvas.shape[1] - width - 2 * pad)))
    y = int(np.clip(y, height + baseline + pad, canvas.shape[0] - 1))
    cv2.rectangle(canvas, (x, y - height - baseline - pad), (x + width + 2 * pad, y), color, cv2.FILLED)
    bright = 0.299 * color[0] + 0.587 * color[1] + 0.114 * color[2] > 140
    ink = (15, 15, 15) if bright else (255, 255, 255)
    cv2.putText(canvas, text, (x + pad, y - baseline), FONT, size, ink, 1, cv2.LINE_AA)


def check_display() -> None:
    """There is a display to open windows on; without one, OpenCV's windows can end the whole process.

    Raises:
        RuntimeError: there is none.
    """
    if sys.platform.startswith("linux") and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        raise RuntimeError("no window can be opened here: there is no display (DISPLAY is not set)")


class Window:
    """A window that shows pictures until the person presses q or Escape, or closes it.

    Raises:
        RuntimeError: there is no display, or OpenCV was built without windows.
    """

    def __init__(self, title: str = "vidperc") -> None:
        self.title = title
        self._opened = False

    def __enter__(self) -> Window:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def show(self, rgb: np.ndarray, wait: int = 1) -> bool:
        """Show a picture for at least `wait` milliseconds; False when the person has had enough."""
        if not self._opened:
            check_display()
        try:
            if self._opened and cv2.getWindowProperty(self.title, cv2.WND_PROP_VISIBLE) < 1:
                return False
            cv2.imshow(self.title, cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))
            self._opened = True
            return cv2.waitKey(max(1, wait)) & 0xFF not in (ord("q"), 27)
        except cv2.error as error:
            raise RuntimeError(
                f"no window can be opened here (display missing, or headless OpenCV): {error}"
            ) from error

    def close(self) -> None:
        """Close the window."""
        if self._opened:
            cv2.destroyWindow(self.title)
        self._opened = False


def show(pictures: Iterable[np.ndarray], title: str = "vidperc", wait: int = 1) -> Iterator[np.ndarray]:
    """Pass pictures on while showing them; ends early when the person presses q."""
    with Window(title) as window:
        for picture in pictures:
            yield picture
            if not window.show(picture, wait):
                return
