"""HOTA, MOTA and IDF1 of trackers on given detections of real sequences.

python tools/bench/tracker_results.py bytetrack_mot17 DATA/mot/MOT17-half-val
"""

from __future__ import annotations

import argparse
import configparser
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from rich.console import Console

from vidperc.evaluation import MOTEvaluator, MOTScores
from vidperc.models import load
from vidperc.structures import Frame, Instances
from vidperc.video.tracking import TrackByDetection

COLUMNS = ("HOTA", "DetA", "AssA", "MOTA", "IDF1", "IDSW", "FP", "FN")


def read_frames(folder: Path) -> list[Frame]:
    """The frames of a MOTChallenge sequence folder with their detections, without pictures."""
    info = configparser.ConfigParser()
    info.read(folder / "seqinfo.ini")
    section = info["Sequence"]
    length, size = section.getint("seqLength"), (section.getint("imHeight"), section.getint("imWidth"))
    path = folder / "det" / "det.txt"
    path = path if path.is_file() else folder / "det" / f"{folder.name}.txt"
    rows = np.loadtxt(path, delimiter=",", ndmin=2)
    image = torch.zeros(1, dtype=torch.uint8).expand(3, *size)
    boxes = rows[:, 2:6].astype(np.float32)
    boxes[:, 2:] += boxes[:, :2]
    return [Frame(image, k, detections=_at(rows, boxes, rows[:, 0] == k + 1)) for k in range(length)]


def _at(rows: np.ndarray, boxes: np.ndarray, here: np.ndarray) -> Instances:
    return Instances(
        boxes=torch.from_numpy(boxes[here]),
        labels=torch.zeros(int(here.sum()), dtype=torch.int64),
        scores=torch.from_numpy(rows[here, 6].astype(np.float32)),
    )


def results(model: TrackByDetection, root: Path, sequences: Sequence[str] = ()) -> MOTScores:
    """The scores of `model` on the sequence folders under `root`, all or those named."""
    folders = [path.parent.parent for path in sorted(root.glob("*/gt/gt.txt"))]
    folders = [path for path in folders if not sequences or path.name in sequences]
    evaluator = MOTEvaluator(root)
    for folder in folders:
        state = model.init_state()
        evaluator.process(folder.name, [model.step(frame, state) for frame in read_frames(folder)])
    return evaluator.scores()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", nargs="+", help="names of configs that track given detections")
    parser.add_argument("root", type=Path, help="folder of MOTChallenge sequences with gt and det")
    parser.add_argument("--sequences", nargs="*", default=())
    arguments = parser.parse_args()
    for name in arguments.config:
        scores = results(load(name), arguments.root, arguments.sequences)
        Console(width=120).print(scores.table(COLUMNS, title=name))
