"""Weights of a backbone alone, as training starts from: ImageNet classifiers, or the backbone of a detector."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor, nn

from .download import download, is_url
from .load import CheckpointError, LoadReport, load_state, read_checkpoint, state_of


def torchvision_url(name: str) -> str:
    """The URL of a torchvision classifier's first published ImageNet weights, as `resnet50`.

    Raises:
        CheckpointError: torchvision has no such model or weights.
    """
    from torchvision.models import get_model_weights

    try:
        url: str = get_model_weights(name)["IMAGENET1K_V1"].url  # type: ignore[index]
    except (ValueError, KeyError) as error:
        raise CheckpointError(f"torchvision has no ImageNet weights of '{name}'") from error
    return url


def local_file(source: str | Path) -> Path:
    """The file of a path, a URL, or `torchvision://NAME`, downloaded where needed."""
    text = str(source)
    if text.startswith("torchvision://"):
        text = torchvision_url(text.removeprefix("torchvision://"))
    return download(text) if is_url(text) else Path(source)


def backbone_state(state: dict[str, Tensor], names: set[str]) -> dict[str, Tensor]:
    """The part of a checkpoint that is a backbone's, under the backbone's names.

    Classifiers have more (`fc`, `head`), detectors have it under `backbone.`; counters of batches, which
    some leave out, do not matter.
    """
    if any(name.startswith("backbone.") for name in state):
        state = {name.removeprefix("backbone."): value for name, value in state.items() if name.startswith("backbone.")}
    return {name: value for name, value in state.items() if name in names or not name.startswith(("fc.", "head."))}


def load_backbone(backbone: nn.Module, source: str | Path, *, strict: bool = True) -> LoadReport:
    """Fill a backbone from a file, a URL or `torchvision://resnet50`.

    Raises:
        FileNotFoundError, CheckpointError: the file is missing, unreadable, or of another architecture.
    """
    path = local_file(source)
    target = backbone.state_dict()
    state = backbone_state(state_of(read_checkpoint(path), path)[0], set(target))
    for name, value in target.items():
        if name.endswith("num_batches_tracked"):
            state.setdefault(name, value)
    return load_state(backbone, state, str(path), strict=strict)
