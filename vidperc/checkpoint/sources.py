"""Where a checkpoint lies: on disk, on the net, among torchvision's classifiers, or in this package."""

from __future__ import annotations

from pathlib import Path

from .download import download, is_url
from .load import CheckpointError

SHIPPED = Path(__file__).parents[1] / "zoo" / "checkpoints"


def local_file(source: str | Path) -> Path:
    """The file of a path, a URL, `torchvision://NAME` (both downloaded where needed) or `shipped://FILE`."""
    text = str(source)
    if text.startswith("shipped://"):
        return SHIPPED / text.removeprefix("shipped://")
    if text.startswith("torchvision://"):
        text = torchvision_url(text.removeprefix("torchvision://"))
    return download(text) if is_url(text) else Path(source)


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
