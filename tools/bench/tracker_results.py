"""HOTA, MOTA and IDF1 of trackers on given detections of real sequences.

python tools/bench/tracker_results.py bytetrack_mot17 DATA/mot/MOT17-half-val
python tools/bench/tracker_results.py sort_mot15 DATA/mot/MOT15/train --camera sparse_flow  # looks at the pictures
"""

from __future__ import annotations

import argparse
import configparser
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import torch
from rich.console import Console

from vidperc.evaluation import MOTEvaluator, MOTScores
from vidperc.models import load
from vidperc.structures import Frame, Instances
from vidperc.video.camera_motion import CameraMotion, ECCMotion, ORBMotion, SparseFlowMotion
from vidperc.video.compensated import Compensated
from vidperc.video.tracking import TrackByDetection

CAMERAS: dict[str, type[CameraMotion]] = {"ecc": ECCMotion, "orb": ORBMotion, "sparse_flow": SparseFlowMotion}
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


def pictures(frames: Sequence[Frame], folder: Path) -> Iterator[Frame]:
    """The frames with their pictures, from `img1`."""
    paths = sorted((folder / "img1").iterdir())
    if len(paths) < len(frames):
        raise ValueError(f"{folder}: {len(paths)} pictures for {len(frames)} frames")
    for frame, path in zip(frames, paths):
        picture = Frame.from_array(cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB))
        yield replace(frame, image=picture.image)


def results(
    model: TrackByDetection, root: Path, sequences: Sequence[str] = (), camera: CameraMotion | None = None
) -> MOTScores:
    """The scores of `model` on the sequence folders under `root`, all or those named, or on the sequence `root`.

    Where there is a `camera`, its motion is compensated for the model's tracker, and the pictures are read.
    """
    if camera is not None:
        model.tracker = Compensated(model.tracker, camera)
    single = (root / "gt" / "gt.txt").is_file()
    folders = [root] if single else [path.parent.parent for path in sorted(root.glob("*/gt/gt.txt"))]
    folders = [path for path in folders if not sequences or path.name in sequences]
    if not folders:
        raise SystemExit(f"{root}: no sequences with gt/gt.txt" + (f" named {', '.join(sequences)}" * bool(sequences)))
    evaluator = MOTEvaluator(root)
    for folder in folders:
        state = model.init_state()
        frames: Iterable[Frame] = read_frames(folder)
        if camera is not None:
            frames = pictures(list(frames), folder)
        evaluator.process(folder.name, [model.step(frame, state) for frame in frames])
    return evaluator.scores()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", nargs="+", help="names of configs that track given detections")
    parser.add_argument("root", type=Path, help="folder of MOTChallenge sequences with gt and det, or of one")
    parser.add_argument("--sequences", nargs="*", default=())
    parser.add_argument("--camera", choices=CAMERAS, help="compensate camera motion, estimated so")
    arguments = parser.parse_args()
    for name in arguments.config:
        camera = CAMERAS[arguments.camera]() if arguments.camera else None
        scores = results(load(name), arguments.root, arguments.sequences, camera)
        Console(width=120).print(scores.table(COLUMNS, title=name))
