"""SyntheticVideo: frames drawn on the fly, with exact boxes, masks, identities and visibilities."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
import torch

from ...structures import Frame, Instances
from .scene import Actor, Flavour, Pose, Scene, SceneOptions, make_scene, scene_options
from .sprites import Sprite, make_sprite

FPS = 25.0


@dataclass
class _Drawn:
    """One object of a frame: its box as a whole, and what it covers inside the picture."""

    actor: Actor
    box: tuple[float, float, float, float]
    area: int  # pixels of the whole object, inside the picture and out
    window: tuple[slice, slice]  # of the picture, which holds all of the object that is inside


class SyntheticVideo:
    """A frame source whose frames are functions of the seed and the frame number.

    `read(i).instances` holds the objects of which anything lies inside the picture, nearest last:
    boxes (see `SceneOptions.boxes`), labels (of `CLASSES`), ids, visibilities (seen pixels over all
    pixels of the object, exactly), ignored (seen too little), and masks where the options ask for them.
    An object that moves in the exposure has the box and mask of the middle of the exposure.

    Args:
        seed: of everything.
        length: number of frames.
        size: (height, width).
        flavour: name of a kind of scene ("det", "vid", "mot", "sot", "vis"), or its options.
        name: of the video.
        changes: options that differ from the flavour's.
    """

    def __init__(
        self,
        seed: int = 0,
        length: int = 60,
        size: tuple[int, int] = (480, 640),
        flavour: Flavour | SceneOptions = "det",
        name: str | None = None,
        **changes: object,
    ) -> None:
        if length < 1 or min(size) < 32:
            raise ValueError(f"synthetic video: expected length >= 1 and sides >= 32, got {length} frames of {size}")
        self.options = scene_options(flavour, **changes)
        self.seed = seed
        self.name = name or f"synthetic-{seed:06d}"
        self.fps: float | None = FPS
        self.size: tuple[int, int] | None = size
        self.length: int | None = length
        self._height, self._width = size
        self._length = length
        self.scene: Scene = make_scene(seed, length, size, self.options)

    def __len__(self) -> int:
        return self._length

    def frames(self, start: int = 0) -> Iterator[Frame]:
        return (self.read(index) for index in range(start, self._length))

    def read(self, index: int) -> Frame:
        picture, owner, drawn = self._paint(index)
        picture = self._through_the_lens(picture, index)
        frame = Frame.from_array(picture, index, index / FPS)
        frame.instances = self._instances(owner, drawn)
        return frame

    def flows(self, index: int, others: Sequence[int], stride: int = 1) -> np.ndarray:
        """Where what is seen in a frame is in others, whether it is seen there or not: (O, 2, H / stride, W / stride).

        Displacements x, y in pixels, exact, at the middle of each square of `stride` pixels.

        Raises:
            IndexError: the video has no such frame.
        """
        _, owner, drawn = self._paint(index)
        middle = stride // 2
        owner = owner[middle::stride, middle::stride]
        y, x = (np.arange(n) * stride + middle + 0.5 for n in owner.shape)
        points = np.stack(np.meshgrid(x, y))  # (2, h, w)
        out = np.empty((len(others), *points.shape), np.float32)
        for flow, other in zip(out, others, strict=True):
            if not 0 <= other < self._length:
                raise IndexError(f"{self.name}: frame {other} of {self._length}")
            shift = np.subtract(self.scene.camera.offset(index), self.scene.camera.offset(other))
            flow[:] = shift[:, None, None]
            for number, item in enumerate(drawn, 1):
                mine = owner == number
                before, after = self._pose(item.actor, index), self._pose(item.actor, other)
                flow[:, mine] = _carry(points[:, mine], before, after) - points[:, mine]
        return out

    # drawing

    def _paint(self, index: int) -> tuple[np.ndarray, np.ndarray, list[_Drawn]]:
        """A frame before the lens (H, W, 3), the number of what is seen at each pixel (H, W), and what was drawn."""
        if not 0 <= index < self._length:
            raise IndexError(f"{self.name}: frame {index} of {self._length}")
        picture = self._draw_background(index)
        owner = np.zeros((self._height, self._width), np.uint8)
        drawn: list[_Drawn] = []
        for actor in self.scene.present(index):
            item = self._draw(picture, owner, actor, index, len(drawn) + 1)
            if item is not None:
                drawn.append(item)
        return picture, owner, drawn

    def _draw_background(self, index: int) -> np.ndarray:
        """A window of the background where the camera is, to a fraction of a pixel, (H, W, 3)."""
        margin = self.scene.margin
        background = _background(self._height + 2 * margin, self._width + 2 * margin, self.seed)
        x, y = self.scene.camera.offset(index)
        move = np.float32([[1, 0, x + margin], [0, 1, y + margin]])  # type: ignore[arg-type]
        return cv2.warpAffine(
            background, move, (self._width, self._height),
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_REPLICATE,
        )  # fmt: skip

    def _pose(self, actor: Actor, time: float) -> Pose:
        """In pixels of the picture."""
        pose = actor.pose(time)
        x, y = self.scene.camera.offset(time)
        return Pose(pose.x - x, pose.y - y, pose.radius, pose.angle)

    def _draw(self, picture: np.ndarray, owner: np.ndarray, actor: Actor, index: int, number: int) -> _Drawn | None:
        """Paint one object over what is there and claim its pixels; None where it is outside the picture."""
        pose = self._pose(actor, index)
        sprite = _sprite(actor.label, actor.radius * (1 + self.options.scale_change), actor.seed)
        box = outline_box(sprite.outline, pose)
        if not (box[0] < self._width and box[1] < self._height and box[2] > 0 and box[3] > 0):
            return None
        after = self._pose(actor, index + 0.5)
        before = self._pose(actor, index - 0.5)
        streak = self.options.motion_blur * np.asarray([after.x - before.x, after.y - before.y])
        pad = int(np.ceil(np.abs(streak).max() / 2)) + 2
        x0, y0 = int(np.floor(box[0])) - pad, int(np.floor(box[1])) - pad
        x1, y1 = int(np.ceil(box[2])) + pad, int(np.ceil(box[3])) + pad
        patch = _place(sprite, pose, x0, y0, x1 - x0, y1 - y0)
        solid = patch[:, :, 3] > 127
        if np.hypot(*streak) > 1.5:
            patch = cv2.filter2D(patch, -1, _line_kernel(*np.round(streak).astype(int).tolist()))
        inner = (slice(max(-y0, 0), max(self._height - y0, 0)), slice(max(-x0, 0), max(self._width - x0, 0)))
        outer = (slice(max(y0, 0), min(y1, self._height)), slice(max(x0, 0), min(x1, self._width)))
        _blend(picture[outer], patch[inner])
        owner[outer][solid[inner]] = number
        return _Drawn(actor, box, int(np.count_nonzero(solid)), outer)

    def _through_the_lens(self, picture: np.ndarray, index: int) -> np.ndarray:
        """Defocus, then sensor noise."""
        sigma = self.scene.camera.blur(index)
        if sigma > 0.3:
            picture = cv2.GaussianBlur(picture, (0, 0), sigma)
        if self.options.noise > 0:
            rng = np.random.default_rng([self.seed, 5, index])
            y, x = int(rng.integers(64)), int(rng.integers(64))
            window = slice(y, y + self._height), slice(x, x + self._width)
            brighter, darker = _noise(self._height, self._width, self.options.noise)
            picture = cv2.subtract(cv2.add(picture, brighter[window]), darker[window])  # saturating
        return picture

    # truth

    def _instances(self, owner: np.ndarray, drawn: list[_Drawn]) -> Instances:
        seen = np.asarray([np.count_nonzero(owner[item.window] == n) for n, item in enumerate(drawn, 1)])
        full = np.asarray([item.box for item in drawn], np.float32).reshape(-1, 4)
        limits = np.asarray([self._width, self._height] * 2, np.float32)
        boxes = np.clip(full, 0, limits)
        masks = None
        if self.options.masks or self.options.boxes == "visible":
            masks = np.zeros((len(drawn), self._height, self._width), bool)
            for number, item in enumerate(drawn, 1):
                masks[number - 1][item.window] = owner[item.window] == number
        if self.options.boxes == "visible" and masks is not None:
            boxes = mask_bounds(masks)
        visibility = seen / np.maximum([item.area for item in drawn], 1) if drawn else np.zeros(0)
        instances = Instances(
            boxes=torch.from_numpy(boxes.astype(np.float32)),
            labels=torch.tensor([item.actor.label for item in drawn], dtype=torch.int64),
            ids=torch.tensor([item.actor.id for item in drawn], dtype=torch.int64),
            visibilities=torch.from_numpy(visibility.astype(np.float32)),
            ignored=torch.from_numpy(visibility < self.options.min_visibility),
            masks=torch.from_numpy(masks) if self.options.masks and masks is not None else None,
        )
        if self.options.boxes == "visible":
            return instances[torch.from_numpy(seen > 0)]
        inside = (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])
        return instances[torch.from_numpy(inside)]


def _carry(points: np.ndarray, before: Pose, after: Pose) -> np.ndarray:
    """Points (2, K) of an object in one pose, where they are in another."""
    turn, scale = after.angle - before.angle, after.radius / before.radius
    cos, sin = scale * np.cos(turn), scale * np.sin(turn)
    x, y = points[0] - before.x, points[1] - before.y
    return np.stack([after.x + cos * x - sin * y, after.y + sin * x + cos * y])


def outline_box(outline: np.ndarray, pose: Pose) -> tuple[float, float, float, float]:
    """The exact bounds xyxy of an outline in a pose, in pixels."""
    cos, sin = np.cos(pose.angle), np.sin(pose.angle)
    points = pose.radius * outline @ np.asarray([[cos, sin], [-sin, cos]])  # (K, 2)
    (x0, y0), (x1, y1) = points.min(0), points.max(0)
    return pose.x + float(x0), pose.y + float(y0), pose.x + float(x1), pose.y + float(y1)


def mask_bounds(masks: np.ndarray) -> np.ndarray:
    """(N, H, W) bool to (N, 4) xyxy, whole pixels; zeros for an empty mask."""
    out = np.zeros((len(masks), 4), np.float32)
    for row, mask in zip(out, masks):
        columns, rows = np.flatnonzero(mask.any(0)), np.flatnonzero(mask.any(1))
        if len(columns):
            row[:] = columns[0], rows[0], columns[-1] + 1, rows[-1] + 1
    return out


def _place(sprite: Sprite, pose: Pose, x0: int, y0: int, width: int, height: int) -> np.ndarray:
    """The sprite turned and scaled into a window of the picture, (height, width, 4)."""
    image, own = sprite.level_for(pose.radius)
    scale = own / pose.radius  # picture -> sprite
    cos, sin = scale * np.cos(pose.angle), scale * np.sin(pose.angle)
    # Coordinates of pixel centres: picture p has its centre at p + 0.5.
    dx, dy = x0 + 0.5 - pose.x, y0 + 0.5 - pose.y
    middle = image.shape[0] / 2 - 0.5
    inverse = np.asarray([[cos, sin, cos * dx + sin * dy + middle], [-sin, cos, -sin * dx + cos * dy + middle]])
    return cv2.warpAffine(
        image, inverse, (width, height), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_REPLICATE
    )


def _blend(below: np.ndarray, above: np.ndarray) -> None:
    """Paint RGBA over RGB, in place."""
    if below.size == 0:
        return
    alpha = above[:, :, 3:].astype(np.int16)
    change = (above[:, :, :3].astype(np.int16) - below) * (alpha.astype(np.float32) * (1 / 255))
    below += np.rint(change).astype(np.int16).astype(np.uint8)  # modulo 256 on purpose: the sum is in range


@lru_cache(maxsize=256)
def _line_kernel(dx: int, dy: int) -> np.ndarray:
    """An averaging kernel along a line through its middle."""
    side = max(abs(dx), abs(dy)) | 1
    kernel = np.zeros((side, side), np.float32)
    middle = side // 2
    start, end = (middle - dx // 2, middle - dy // 2), (middle + dx // 2, middle + dy // 2)
    cv2.line(kernel, start, end, 1.0, 1, cv2.LINE_AA)
    return kernel / kernel.sum()


@lru_cache(maxsize=4)
def _noise(height: int, width: int, sigma: float) -> tuple[np.ndarray, np.ndarray]:
    """What noise adds and what it takes, two sheets larger than the picture, (H + 64, W + 64, 3) uint8."""
    rng = np.random.default_rng(0)
    sheet = np.rint(sigma * rng.standard_normal((height + 64, width + 64, 3), dtype=np.float32))
    return np.clip(sheet, 0, 255).astype(np.uint8), np.clip(-sheet, 0, 255).astype(np.uint8)


# What is costly to make is kept for a while, so that videos can be read in any order; a video holds nothing.
@lru_cache(maxsize=2048)
def _sprite(label: int, radius: float, seed: int) -> Sprite:
    return make_sprite(label, radius, np.random.default_rng(seed))


@lru_cache(maxsize=256)
def _background(height: int, width: int, seed: int) -> np.ndarray:
    return make_background(height, width, np.random.default_rng([seed, 4]))


def make_background(height: int, width: int, rng: np.random.Generator) -> np.ndarray:
    """Clouds of three muted colours at several scales, with streaks, (H, W, 3) uint8."""
    field = np.zeros((height, width), np.float32)
    for cells, weight in ((3, 1.0), (7, 0.5), (17, 0.3), (60, 0.16)):
        grid = rng.random((cells, max(int(cells * width / height), 2)), dtype=np.float32) - 0.5
        field += weight * cv2.resize(grid, (width, height), interpolation=cv2.INTER_CUBIC)
    field = np.clip(field * 0.75 + 0.5, 0, 1)
    for _ in range(int(rng.integers(4, 9))):
        ends = rng.random(4) * np.asarray([width, height, width, height])
        thickness = int(rng.integers(2, max(height // 24, 3)))
        layer = np.zeros((height, width), np.uint8)
        points = ends.astype(int).tolist()
        cv2.line(layer, tuple(points[:2]), tuple(points[2:]), 255, thickness, cv2.LINE_AA)
        field += float(rng.uniform(-0.12, 0.12)) * (layer.astype(np.float32) / 255)
    hsv = np.stack([rng.uniform(0, 180, 3), rng.uniform(15, 80, 3), np.asarray([70, 130, 190])], 1)
    stops = cv2.cvtColor(hsv.astype(np.uint8)[None], cv2.COLOR_HSV2RGB)[0].astype(np.float32)  # (3, 3)
    table = np.stack([np.interp(np.linspace(0, 2, 256), [0, 1, 2], stops[:, c]) for c in range(3)], 1)
    index = np.clip(field * 255, 0, 255).astype(np.uint8)
    return cv2.LUT(cv2.merge([index] * 3), table.astype(np.uint8)[None])
