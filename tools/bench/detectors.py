"""Speed of image detectors on whole pictures, against their bare layers and against torchvision's.

A picture is a photo-like random texture; the time is that of `model.predict([picture])`, uint8 in and boxes
out, batch 1. Bare layers are the model's convolutions and linear layers alone, each run on an input of the
shape it had, nothing in between: as torch has them, and as the model runs them (`vidperc.layers.inference`).
"""

from __future__ import annotations

import resource
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor, nn

import vidperc
from vidperc.layers.deform_conv import DeformConv
from vidperc.layers.inference import InferenceConv, InferenceLinear
from vidperc.sequence import AUTOCAST, Precision, SequenceModel

from ._timing import least_ms

BARE = (nn.Conv2d, nn.Linear, nn.ConvTranspose2d, DeformConv)
PLAIN: dict[type[nn.Module], type[nn.Module]] = {InferenceConv: nn.Conv2d, InferenceLinear: nn.Linear}
Call = tuple[nn.Module, tuple[int, ...]]  # a layer, and the shape of its input


@dataclass(frozen=True)
class Row:
    """Milliseconds per picture; the least of the repeats, as other work on the machine only adds."""

    name: str
    precision: str
    model_ms: float
    bare_ms: float  # torch's layers
    own_bare_ms: float  # the model's, that need less time for some of them
    torchvision_ms: float | None = None
    peak_mb: float = 0.0  # of the process so far


def picture(size: tuple[int, int] = (800, 1333), seed: int = 0) -> np.ndarray:
    """A smooth random texture, (H, W, 3) uint8."""
    rng = np.random.default_rng(seed)
    out = np.zeros((*size, 3), np.float32)
    for cells in (6, 24, 96):
        grid = rng.uniform(0, 85, (cells, int(cells * 1.6), 3)).astype(np.float32)
        out += cv2.resize(grid, (size[1], size[0]), interpolation=cv2.INTER_CUBIC)
    return out.clip(0, 255).astype(np.uint8)


def bare_layers(model: SequenceModel, predict: Callable[[], object]) -> list[Call]:
    """Every call of a convolution or linear layer while the model predicts, with the shape of its input."""
    calls: list[Call] = []

    def note(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        calls.append((module, tuple(inputs[0].shape)))

    hooks = [part.register_forward_pre_hook(note) for part in leaves(model)]
    predict()
    for hook in hooks:
        hook.remove()
    return calls


def leaves(model: nn.Module) -> Iterator[nn.Module]:
    """The layers that count as bare, those inside of deformable convolutions not again."""
    inside = {id(part) for module in model.modules() if isinstance(module, DeformConv) for part in module.children()}
    return (part for part in model.modules() if isinstance(part, BARE) and id(part) not in inside)


def run_bare(model: SequenceModel, calls: list[Call], own: bool = True) -> Callable[[], None]:
    """A function that runs the calls on random inputs, one kept per shape.

    Args:
        own: as the model runs them; False by torch's forward of the same parameters.
    """
    dtype = AUTOCAST[model.precision] or torch.float32
    inputs: dict[tuple[int, ...], Tensor] = {}
    for _, shape in calls:
        if shape not in inputs:
            value = torch.randn(shape, dtype=dtype, device=model.device)
            inputs[shape] = value.to(memory_format=torch.channels_last) if len(shape) == 4 else value

    def run() -> None:
        with model.inference():
            for module, shape in calls:
                kind = type(module)
                forward = kind.forward if own else PLAIN.get(kind, kind).forward
                forward(module, inputs[shape])

    return run


def torchvision_faster_rcnn(
    image: np.ndarray, precision: Precision = "fp32", device: str = "cpu"
) -> Callable[[], object]:
    """torchvision's own Faster R-CNN R50-FPN on the same picture, untrained, as it is used: tensors 0 to 1."""
    from torchvision.models.detection import fasterrcnn_resnet50_fpn

    network = fasterrcnn_resnet50_fpn(weights=None, weights_backbone=None, box_score_thresh=0.05)
    network = network.eval().to(device)
    tensor = torch.from_numpy(image).to(device).permute(2, 0, 1).float() / 255

    def run() -> object:
        dtype = AUTOCAST[precision]
        with (
            torch.inference_mode(),
            nullcontext() if dtype is None else torch.autocast(tensor.device.type, dtype),
        ):
            return network([tensor])

    return run


def detector_row(
    name: str = "faster_rcnn_r50_fpn_1x_coco",
    precision: Precision = "fp32",
    *,
    repeats: int = 5,
    against_torchvision: bool = True,
    size: tuple[int, int] = (800, 1333),
    device: str = "cpu",
) -> Row:
    """One detector, untrained, in one precision. torchvision's runs in fp32, whatever the precision."""
    torch.manual_seed(0)
    model = vidperc.load(name, precision=precision, device=device)
    image = picture(size)

    def predict() -> object:
        return model.predict([image])  # type: ignore[operator]

    calls = bare_layers(model, predict)
    functions: list[Callable[[], object]] = [
        predict,
        run_bare(model, calls, own=False),
        run_bare(model, calls),
    ]
    if against_torchvision:
        functions.append(torchvision_faster_rcnn(image, device=device))
    times = least_ms(functions, repeats)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return Row(name, precision, *times[:3], times[3] if against_torchvision else None, peak)


def measure(
    repeats: int = 3, device: str = "cpu", precisions: tuple[Precision, ...] = ("fp32", "bf16")
) -> list[dict[str, Any]]:
    """Faster R-CNN in fp32 and bf16 on the threads that torch has: milliseconds, and ratios to what is bare."""
    rows = [detector_row(precision=precision, repeats=repeats, device=device) for precision in precisions]
    return [
        asdict(row)
        | {"over bare": row.model_ms / row.bare_ms, "over own": row.model_ms / row.own_bare_ms}
        | {"faster": (row.torchvision_ms or 0.0) / row.model_ms}
        for row in rows
    ]
