"""What happens in a synthetic video: which objects there are, where they and the camera are at any time.

Everything is a closed form of the frame number, so any frame can be drawn without those before it,
and the first frames of a video do not depend on its length.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from .sprites import CLASSES

BoxKind = Literal["full", "visible"]
Flavour = Literal["det", "vid", "mot", "sot", "vis"]


@dataclass(frozen=True)
class SceneOptions:
    """What a synthetic video is like. Lengths are fractions of the picture's shorter side.

    Args:
        objects: how many are about at once, (least, most).
        residents: how many of them stay in the picture for all of the video, never leaving.
        radius: of the objects, (least, most) at their mean scale.
        life: frames from an object's entry to its exit, (least, most).
        pace: of each object, (least, most): at half the pace it moves, turns and swells half as fast, and
            its life is twice as long.
        scale_change: the size swings by this factor about its mean, 0.3 for +-30 %.
        pan, shake: amplitude of the camera's slow and fast movement.
        motion_blur: fraction of the time between two frames that the shutter is open.
        defocus: standard deviation of the blur at the height of an out-of-focus stretch.
        defocus_share: fraction of the frames in such stretches.
        defocus_length: frames of a stretch and the sharp frames around it.
        noise: standard deviation of the sensor noise, of 255.
        boxes: "full": of the whole object inside the picture, as if nothing hid it (as MOTChallenge
            and tracking benchmarks annotate, here clipped at the border); "visible": of its visible mask
            (as COCO and YouTube-VIS do).
        min_visibility: objects of which less is seen are marked as ignored.
        masks: give the visible masks.
    """

    objects: tuple[int, int] = (3, 6)
    residents: int = 0
    radius: tuple[float, float] = (0.08, 0.19)
    life: tuple[int, int] = (70, 160)
    pace: tuple[float, float] = (1.0, 1.0)
    scale_change: float = 0.3
    pan: float = 0.1
    shake: float = 0.004
    motion_blur: float = 0.3
    defocus: float = 0.0
    defocus_share: float = 0.0
    defocus_length: int = 24
    noise: float = 3.0
    boxes: BoxKind = "full"
    min_visibility: float = 0.25
    masks: bool = False


FLAVOURS: dict[str, SceneOptions] = {
    "det": SceneOptions(),
    # Slow, medium and fast objects; half of the frames so blurred that shape and texture are gone: neighbours know
    # better, and there is always one within seven frames.
    "vid": SceneOptions(
        objects=(2, 5), pace=(0.06, 1.0), pan=0.03, defocus=0.06, defocus_share=0.5, defocus_length=20, motion_blur=0.5
    ),
    "mot": SceneOptions(objects=(6, 10), radius=(0.06, 0.13), pan=0.0, shake=0.0),
    "sot": SceneOptions(objects=(4, 6), residents=1, scale_change=0.45, shake=0.008),
    "vis": SceneOptions(objects=(3, 5), boxes="visible", masks=True),
}


def scene_options(flavour: Flavour | SceneOptions, **changes: object) -> SceneOptions:
    """The options of a named flavour, or the given ones, with changes.

    Raises:
        ValueError: an unknown name. TypeError: an unknown option.
    """
    if isinstance(flavour, str):
        if flavour not in FLAVOURS:
            raise ValueError(f"synthetic flavour '{flavour}': expected one of {', '.join(FLAVOURS)}")
        flavour = FLAVOURS[flavour]
    return replace(flavour, **changes)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Pose:
    """Where an object is: its centre in pixels, its radius in pixels, its rotation in radians."""

    x: float
    y: float
    radius: float
    angle: float


@dataclass(frozen=True)
class Actor:
    """An object of the scene and its way through it. Positions are world pixels: the picture plus the camera."""

    id: int
    label: int
    seed: int  # of its looks
    depth: float  # nearer objects (smaller) hide farther ones
    birth: int
    death: int
    start: tuple[float, float]
    end: tuple[float, float]
    sway: tuple[float, float, float]  # amplitude in pixels across the way, periods, phase
    hurry: float  # unevenness of the speed, -1 to 1
    radius: float
    swell: tuple[float, float, float]  # factor - 1, radians per frame, phase
    turn: tuple[float, float, float, float]  # mean angle, amplitude, radians per frame, phase
    stays: bool

    def pose(self, time: float) -> Pose:
        """Where it is at a time in frames."""
        progress = (time - self.birth) / max(self.death - self.birth, 1)
        if self.stays:
            x, y = self._roam(time)
        else:
            x, y = self._cross(progress)
        factor, rate, phase = self.swell
        radius = self.radius * np.exp(np.log1p(factor) * np.sin(rate * time + phase))
        mean, amplitude, rate, phase = self.turn
        return Pose(x, y, float(radius), mean + amplitude * float(np.sin(rate * time + phase)))

    def _cross(self, progress: float) -> tuple[float, float]:
        """From `start` to `end`, swaying across the way."""
        along = progress + self.hurry * np.sin(2 * np.pi * progress) / (2 * np.pi)
        dx, dy = self.end[0] - self.start[0], self.end[1] - self.start[1]
        length = max(float(np.hypot(dx, dy)), 1e-6)
        amplitude, periods, phase = self.sway
        across = amplitude * np.sin(2 * np.pi * periods * progress + phase)
        return (
            float(self.start[0] + along * dx - across * dy / length),
            float(self.start[1] + along * dy + across * dx / length),
        )

    def _roam(self, time: float) -> tuple[float, float]:
        """Around the middle between `start` and `end`, on a figure that does not close."""
        _, periods, phase = self.sway
        rate = 2 * np.pi * periods / (self.death - self.birth)
        cx, cy = (self.start[0] + self.end[0]) / 2, (self.start[1] + self.end[1]) / 2
        rx, ry = abs(self.end[0] - self.start[0]) / 2, abs(self.end[1] - self.start[1]) / 2
        return (
            float(cx + rx * np.sin(rate * time + phase)),
            float(cy + ry * np.sin(1.618 * rate * time + 2.3 * phase)),
        )


@dataclass(frozen=True)
class Camera:
    """Offset of the picture in the world, in pixels, and the blur of its lens."""

    pan: np.ndarray  # (2, 3): amplitude, radians per frame, phase for x and y
    shake: np.ndarray  # (2, 3, 3): three fast waves each
    stretches: np.ndarray  # (S, 2) first and last frame out of focus
    defocus: float  # pixels

    def offset(self, time: float) -> tuple[float, float]:
        waves = self.pan[:, 0] * np.sin(self.pan[:, 1] * time + self.pan[:, 2])
        fast = (self.shake[..., 0] * np.sin(self.shake[..., 1] * time + self.shake[..., 2])).sum(1)
        return float(waves[0] + fast[0]), float(waves[1] + fast[1])

    def blur(self, time: float) -> float:
        """Standard deviation of the defocus in pixels: rises within two frames, stays, falls."""
        if not len(self.stretches):
            return 0.0
        inside = np.minimum(time - self.stretches[:, 0] + 1, self.stretches[:, 1] - time + 1).max()
        return self.defocus * float(np.clip(inside / 3, 0, 1))


@dataclass(frozen=True)
class Scene:
    """All actors of a video, its camera, and the seed of its background."""

    actors: tuple[Actor, ...]
    camera: Camera
    seed: int
    margin: int  # how far the camera can move off, in pixels

    def present(self, time: int) -> list[Actor]:
        """The actors alive at a frame, farthest first."""
        alive = [actor for actor in self.actors if actor.birth <= time < actor.death]
        return sorted(alive, key=lambda actor: -actor.depth)


def make_scene(seed: int, length: int, size: tuple[int, int], options: SceneOptions) -> Scene:
    """The scene of a video of `length` frames of `size` (height, width)."""
    rng = np.random.default_rng([seed, 1])
    short = min(size)
    camera = _make_camera(np.random.default_rng([seed, 2]), length, short, options)
    margin = int(np.ceil(short * (options.pan + 2 * options.shake))) + 2
    actors: list[Actor] = []
    slots = int(rng.integers(options.objects[0], options.objects[1] + 1))
    for slot in range(max(slots, options.residents)):
        own = np.random.default_rng([seed, 3, slot])
        if slot < options.residents:
            actors.append(_resident(own, length, size, options))
            continue
        pace = _pace(own, options)
        birth = -int(own.uniform(0.2, 0.8) * options.life[0] / pace)
        while birth < length:
            actors.append(_passer(own, birth, pace, size, margin, options))
            pace = _pace(own, options)
            birth = actors[-1].death + int(own.integers(0, 8))
    # Numbered in the order in which they appear; residents first.
    order = sorted(actors, key=lambda actor: (not actor.stays, max(actor.birth, 0), actor.seed))
    numbered = tuple(replace(actor, id=number) for number, actor in enumerate(order))
    return Scene(numbered, camera, seed, margin)


def _pace(rng: np.random.Generator, options: SceneOptions) -> float:
    low, high = options.pace
    return low if low == high else float(np.exp(rng.uniform(np.log(low), np.log(high))))


def _looks(rng: np.random.Generator, short: int, pace: float, options: SceneOptions) -> dict[str, object]:
    low, high = options.radius
    radius = short * float(np.exp(rng.uniform(np.log(low), np.log(high))))
    swing = options.scale_change * rng.uniform(0.3, 1)
    return {
        "id": -1,
        "label": int(rng.integers(len(CLASSES))),
        "seed": int(rng.integers(2**31)),
        "depth": float(rng.random()),
        "radius": radius,
        "swell": (swing, pace * (2 * np.pi / rng.uniform(40, 120)), rng.uniform(0, 2 * np.pi)),
        "turn": (
            rng.uniform(-0.25, 0.25), rng.uniform(0, 0.3), pace * (2 * np.pi / rng.uniform(30, 90)),
            rng.uniform(0, 6.28),
        ),
    }  # fmt: skip


def _passer(
    rng: np.random.Generator, birth: int, pace: float, size: tuple[int, int], margin: int, options: SceneOptions
) -> Actor:
    """An object that comes in over one border and leaves over another."""
    looks = _looks(rng, min(size), pace, options)
    reach = looks["radius"] * (1 + options.scale_change) + margin  # type: ignore[operator]
    start = _beside(rng, int(rng.integers(4)), size, reach)
    end = _through(rng, start, size, reach)
    return Actor(
        birth=birth, death=birth + round(int(rng.integers(options.life[0], options.life[1] + 1)) / pace), start=start,
        end=end,
        sway=(min(size) * rng.uniform(0, 0.12), rng.uniform(0.5, 1.5), 0.0),
        hurry=rng.uniform(-0.7, 0.7), stays=False, **looks,  # type: ignore[arg-type]
    )  # fmt: skip


def _resident(rng: np.random.Generator, length: int, size: tuple[int, int], options: SceneOptions) -> Actor:
    """An object that roams the picture for all of the video."""
    height, width = size
    life = options.life[1]
    return Actor(
        birth=0, death=2**40, start=(0.25 * width, 0.25 * height), end=(0.75 * width, 0.75 * height),
        sway=(0.0, 2**40 * rng.uniform(0.8, 1.4) / life, rng.uniform(0, 2 * np.pi)), hurry=0.0, stays=True,
        **_looks(rng, min(size), 1.0, options),  # type: ignore[arg-type]
    )  # fmt: skip


def _beside(rng: np.random.Generator, side: int, size: tuple[int, int], reach: float) -> tuple[float, float]:
    """A point outside the picture, `reach` off one of its sides."""
    height, width = size
    x, y = rng.uniform(0.1, 0.9) * width, rng.uniform(0.1, 0.9) * height
    return [(-reach, y), (width + reach, y), (x, -reach), (x, height + reach)][side]


def _through(
    rng: np.random.Generator, start: tuple[float, float], size: tuple[int, int], reach: float
) -> tuple[float, float]:
    """Where a straight way from `start` over a point well inside the picture ends, `reach` outside of it."""
    height, width = size
    way = np.asarray([rng.uniform(0.2, 0.8) * width, rng.uniform(0.2, 0.8) * height]) - start
    limits = np.where(way > 0, np.asarray([width, height]) + reach, -reach)
    with np.errstate(divide="ignore"):
        crossings = (limits - start) / way
    end = np.asarray(start) + way * float(np.min(crossings[crossings > 0]))
    return float(end[0]), float(end[1])


def _make_camera(rng: np.random.Generator, length: int, short: int, options: SceneOptions) -> Camera:
    pan = np.stack([short * options.pan * rng.uniform(0.4, 1, 2), 2 * np.pi / rng.uniform(90, 200, 2),
                    rng.uniform(0, 2 * np.pi, 2)], 1)  # fmt: skip
    shake = np.stack([short * options.shake * rng.uniform(0.2, 0.66, (2, 3)), rng.uniform(0.5, 2.2, (2, 3)),
                      rng.uniform(0, 2 * np.pi, (2, 3))], 2)  # fmt: skip
    stretches = []
    if options.defocus_share > 0:
        start = -float(rng.uniform(0, options.defocus_length))
        while start < length:
            blurred = options.defocus_length * options.defocus_share * rng.uniform(0.8, 1.2)
            stretches.append((start, start + blurred - 1))
            start += blurred + options.defocus_length * (1 - options.defocus_share) * rng.uniform(0.8, 1.2)
    return Camera(pan, shake, np.asarray(stretches).reshape(-1, 2), short * options.defocus)
