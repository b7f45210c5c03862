"""Draw what a model trains on, after all transforms: a row of pictures for each clip.

python tools/browse_dataset.py tiny_det --out DIR [--samples 8] [key=value ...]
"""

from __future__ import annotations

import argparse
import sys
from itertools import islice
from pathlib import Path

import cv2
import fiddle as fdl
import numpy as np

from vidperc.cli import setting
from vidperc.data.loader import TrainingBatches
from vidperc.models import get_config, override
from vidperc.structures import Clip
from vidperc.visualize import draw


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
        dataset = fdl.build(config.train_data).dataset
        for batch in islice(TrainingBatches(len(dataset), 1, seed=options.seed), options.samples):
            print(write(dataset[batch[0]], batch[0][0], Path(options.out), config.classes))
    except (OSError, ValueError, KeyError, AttributeError) as error:
        print(f"browse_dataset: error: {error}", file=sys.stderr)
        return 1
    return 0


def write(clip: Clip, number: int, out: Path, classes: tuple[str, ...]) -> Path:
    """One picture of all frames of a clip, side by side."""
    drawn = [
        draw(frame.array, frame.instances, classes=classes) if frame.instances is not None else frame.array
        for frame in clip.frames
    ]
    height = max(picture.shape[0] for picture in drawn)
    padded = [np.pad(picture, ((0, height - picture.shape[0]), (0, 4), (0, 0))) for picture in drawn]
    out.mkdir(parents=True, exist_ok=True)
    path = out / f"{number:06d}_{clip.video.replace('/', '_')}.png"
    cv2.imwrite(str(path), cv2.cvtColor(np.hstack(padded), cv2.COLOR_RGB2BGR))
    return path


if __name__ == "__main__":
    sys.exit(main())
