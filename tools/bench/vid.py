"""Speed of the video detectors at 600x1000, against their bare layers.

The published protocol: random weights, published windows, the time of the network and its postprocessing per frame,
once a window is full and references are in. Bare layers are the step's convolutions and linear layers alone, each as
torch runs it (`direct_ms`), on inputs of the shapes that they had. `flow`, `backbone`, `rpn` and `other` say where the
time of a step goes.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

import vidperc
from vidperc.sequence import Precision, SequenceModel
from vidperc.structures import Frame, Video

from ._timing import least_ms
from .detectors import Call, bare_layers, picture, run_bare

NAMES = {
    "faster_rcnn": "faster_rcnn_r{depth}_dc5_1x_imagenetvid",
    "dff": "dff_faster_rcnn_r{depth}_dc5_1x_imagenetvid",
    "fgfa": "fgfa_faster_rcnn_r{depth}_dc5_1x_imagenetvid",
    "selsa": "selsa_faster_rcnn_r{depth}_dc5_1x_imagenetvid",
    "selsa_window": "selsa_faster_rcnn_r{depth}_dc5_window",
    "selsa_troialign": "selsa_troialign_faster_rcnn_r{depth}_dc5_7e_imagenetvid",
}


def measure(
    method: str = "selsa",
    precision: Precision = "fp32",
    *,
    depth: int = 50,
    repeats: int = 3,
    size: tuple[int, int] = (600, 1000),
    device: str = "cpu",
    beside: bool = True,
    bare: bool = True,
) -> list[dict[str, Any]]:
    """A row of milliseconds per frame, the least of the repeats.

    Args:
        method: one of `NAMES`.
        beside: of SELSA, measure the detector frame by frame in turn with it, and give the ratio.
        bare: measure the bare layers too.
    """
    model, step = stepper(method, precision, depth, size, device)
    functions: list[Callable[[], object]] = [step]
    if beside and method.startswith("selsa"):
        functions.append(stepper("faster_rcnn", precision, depth, size, device)[1])
    step()
    times = least_ms(functions, repeats)
    row: dict[str, Any] = {"method": method, "precision": precision, "depth": depth, "step_ms": times[0]}
    if len(times) > 1:
        row |= {"detector_ms": times[1], "over detector": times[0] / times[1]}
    row |= {f"{part}_ms": value for part, value in parts_of(model, step).items()}
    if bare:
        calls = bare_layers(model, step)
        direct = least_ms([run_bare(model, calls, own=False)], 1)[0]
        row |= {"direct_ms": direct, "of direct": times[0] / direct, "gflop": flops(calls) / 1e9}
    return [row]


def stepper(
    method: str, precision: Precision, depth: int, size: tuple[int, int], device: str
) -> tuple[SequenceModel, Callable[[], object]]:
    """The model, and a function that does its usual step: no key frame of DFF, a full window, references in."""
    model, state, frames = ready(method, precision, depth, size, device)
    count = 0

    def step() -> object:
        nonlocal count
        count += 1
        if method == "dff":
            state.age = 1  # of the frames between key frames
        with model.inference():
            result = model.step(frames[count % 2], state)
        return result

    return model, step


def ready(
    method: str, precision: Precision, depth: int, size: tuple[int, int], device: str
) -> tuple[SequenceModel, Any, list[Frame]]:
    """The untrained model, its state in the middle of a video, and the two frames of which that consists.

    Raises:
        SystemExit: an unknown method.
    """
    if method not in NAMES:
        raise SystemExit(f"method={method}: expected one of {', '.join(NAMES)}")
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # weights are random
        model = vidperc.load(NAMES[method].format(depth=depth), precision=precision, device=device)
        frames = [Frame.from_array(picture(size, seed), seed) for seed in range(2)]
        calm(model, frames[0])
        with model.inference():
            state = model.init_state(Video.from_frames([frames[number % 2].array for number in range(15)]))
    fill(model, state, frames)
    return model, state, frames


def calm(model: SequenceModel, frame: Frame) -> None:
    """Bring the detector's map to an ordinary size: an untrained ResNet-101's is so large that no region comes out."""
    detector: Any = getattr(model, "detector", model)
    with model.inference():
        images = detector.preprocessor([frame.image], model.device)
        largest = max(float(level.abs().max()) for level in detector.extract_features(images))
    for parameter in detector.neck.parameters():
        parameter.data.mul_(100 / largest)


def fill(model: SequenceModel, state: Any, frames: list[Frame]) -> None:
    """Bring a window to the state that it has in the middle of a video, by two frames in turn.

    A step needs what a window has of each of its frames, not that these differ: each of two is computed once.
    """
    radius = model.lookahead
    if not radius:
        with model.inference():
            model.step(frames[0], state)
        return
    with model.inference():
        for frame in frames:
            model.step(frame, state)
    first, second = state.window
    state.window.extend((first, second)[number % 2] for number in range(2 * radius - 2))
    state.taken, state.predicted, state.first = 2 * radius, radius, 0


@contextmanager
def timed(modules: dict[str, nn.Module], spent: dict[str, float]) -> Iterator[None]:
    """Adds the seconds in each module."""
    starts: dict[str, float] = {}

    def before(name: str) -> Callable[..., None]:
        return lambda *_: starts.__setitem__(name, time.perf_counter())

    def after(name: str) -> Callable[..., None]:
        return lambda *_: spent.__setitem__(name, spent.get(name, 0) + time.perf_counter() - starts[name])

    hooks = [
        h
        for n, m in modules.items()
        for h in (m.register_forward_pre_hook(before(n)), m.register_forward_hook(after(n)))
    ]
    yield
    for hook in hooks:
        hook.remove()


def parts_of(model: SequenceModel, step: Callable[[], object]) -> dict[str, float]:
    """Milliseconds of one step by part."""
    detector: Any = getattr(model, "detector", model)
    modules = {"backbone": detector.backbone, "neck": detector.neck, "rpn": detector.rpn.predictor}
    spent: dict[str, float] = {}
    flow: Any = getattr(model, "flow", None)
    original = None if flow is None else flow.between
    if flow is not None:

        def between(*args: Any) -> Tensor:
            start = time.perf_counter()
            result: Tensor = original(*args)  # type: ignore[misc]
            spent["flow"] = spent.get("flow", 0) + time.perf_counter() - start
            return result

        flow.between = between
    start = time.perf_counter()
    with timed(modules, spent):
        step()
    total = time.perf_counter() - start
    if flow is not None:
        del flow.between
    return {name: value * 1e3 for name, value in (spent | {"other": total - sum(spent.values())}).items()}


def flops(calls: list[Call]) -> float:
    """Two for every multiplication of the calls done directly."""
    total = 0.0
    for module, shape in calls:
        weight: Any = module.weight
        if isinstance(module, nn.Linear):
            total += 2 * weight.numel() * shape[0]
        elif isinstance(module, nn.ConvTranspose2d):
            total += 2 * weight.numel() * shape[0] * shape[2] * shape[3]
        else:
            stride: Any = module.stride
            step = stride[0] if isinstance(stride, tuple) else stride
            total += 2 * weight.numel() * shape[0] * -(-shape[2] // step) * -(-shape[3] // step)
    return total
