"""Draw what a model trains on, after all transforms: a row of pictures for each clip; ignored objects are hatched.

python tools/browse_dataset.py tiny_det --out DIR [--samples 8] [key=value ...]
"""

from __future__ import annotations

import argparse
import sys
from itertools import islice
from pathlib import Path

import cv2
import numpy as np

from vidperc.cli import setting
from vidperc.data.loader import TrainingBatches
from vidperc.models import build, get_config, override
from vidperc.structures import Clip, Instances
from vidperc.visualize import draw, draw_ignored


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", help="of a config with training data")
    parser.add_argument("settings", nargs="*", type=setting, metavar="key=value")
    parser.add_argument("--out", default="out/browse")
    parser.add_argument("--samples", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_intermixed_args()
    try:
        config = get_config(options.name)
        for key, value in options.settings:
            override(config, key, value)
        if config.train_data is None:
            raise ValueError(f"'{options.name}' has no training data")
        data = build(config.train_data)
        batches = TrainingBatches(len(data.dataset), 1, seed=options.seed, repeats=data.repeats)
        for (sample,) in islice(batches, options.samples):
            print(write(data.dataset[sample], sample[0], Path(options.out), config.classes))
    except (OSError, ValueError, KeyError, AttributeError) as error:
        text = error.args[0] if isinstance(error, KeyError) and error.args else error
        print(f"browse_dataset: error: {text}", file=sys.stderr)
        return 1
    return 0


def write(clip: Clip, number: int, out: Path, classes: tuple[str, ...]) -> Path:
    """One picture of all frames of a clip, side by side."""
    drawn = [picture(frame.array, frame.instances, classes) for frame in clip.frames]
    height = max(one.shape[0] for one in drawn)
    padded = [np.pad(one, ((0, height - one.shape[0]), (0, 4), (0, 0))) for one in drawn]
    out.mkdir(parents=True, exist_ok=True)
    path = out / f"{number:06d}_{clip.video.replace('/', '_')}.png"
    cv2.imwrite(str(path), cv2.cvtColor(np.hstack(padded), cv2.COLOR_RGB2BGR))
    return path


def picture(array: np.ndarray, objects: Instances | None, classes: tuple[str, ...]) -> np.ndarray:
    """A frame with its objects, and those that are ignored below them."""
    if objects is None:
        return array
    canvas = np.array(array, order="C")
    draw_ignored(canvas, objects)
    if objects.ids is not None:  # mosaics and the like set whole parts apart by large numbers, which nobody can read
        objects = objects.replace(ids=objects.ids % 2**32 + objects.ids // 2**32 * 1000)
    return draw(canvas, objects, classes=classes)


if __name__ == "__main__":
    sys.exit(main())
