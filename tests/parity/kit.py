"""Recorded outputs of the reference implementations, and the rules by which they are compared.

Nobody can ship the published weights with the tests, so both sides fill every tensor of a checkpoint
by one rule, from its name and shape alone. A spec (`specs/*.json.gz`) lists a config's tensors; a golden
(`goldens/*.npz`) has what the reference then found in `frames.npz`, whose frames are BGR.
"""

from __future__ import annotations

import gzip
import json
import math
import os
import re
import zlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.optimize import linear_sum_assignment

import vidperc
from vidperc import Instances

HERE = Path(__file__).parent
LEAST_IOU, PIXELS, SCORE, MASK_IOU, PASS = 0.98, 0.05, 2e-3, 0.95, 0.98


SHARED = Path(os.environ.get("VIDPERC_TEST_DATA", HERE.parents[2] / "shared")) / "parity"


def find_or_none(folder: str, name: str) -> Path | None:
    """A file of the recorded facts, beside the tests or in the shared folder."""
    paths = [root / folder / name for root in (HERE, SHARED)]
    return next((path for path in paths if path.is_file()), None)


def find(folder: str, name: str) -> Path:
    """As `find_or_none`; skips the test where there is none."""
    path = find_or_none(folder, name)
    if path is None:
        pytest.skip(f"no recorded {folder}/{name} beside the tests or in {SHARED}")
    return path


@cache
def frames() -> np.ndarray:
    """(8, 180, 320, 3) uint8 RGB, the input of the goldens."""
    with np.load(find("", "frames.npz")) as content:
        return np.ascontiguousarray(content["frames"][..., ::-1])


@cache
def load_spec(name: str) -> dict:
    with gzip.open(find("specs", f"{name}.json.gz"), "rt", encoding="utf-8") as file:
        return json.load(file)


@cache
def load_golden(name: str) -> dict:
    with np.load(find("goldens", f"{name}.npz"), allow_pickle=False) as content:
        golden = {key: content[key] for key in content.files}
    golden["meta"] = json.loads(str(golden["meta"]))
    return golden


def draw(name: str, shape: tuple[int, ...], role: str) -> np.ndarray:
    """The float64 values of a tensor, by its name: the generator is seeded by the CRC-32 of the name."""
    generator = np.random.Generator(np.random.PCG64(zlib.crc32(name.encode())))
    if role == "running_var":
        return generator.uniform(0.5, 1.5, shape)
    if role == "running_mean":
        return 0.1 * generator.standard_normal(shape)
    if len(shape) >= 2:
        gain = math.sqrt(2.0) if len(shape) in (4, 5) else 1.0
        return generator.standard_normal(shape) * (gain / math.sqrt(float(np.prod(shape[1:]))))
    if len(shape) == 1 and name.endswith("weight"):
        return generator.uniform(0.3, 0.7, shape)
    if name.endswith("bias"):
        return 0.05 * generator.standard_normal(shape)
    return generator.uniform(0.5, 1.5, shape)


def fill(spec: dict) -> dict[str, np.ndarray]:
    """Every tensor of a spec; those whose value is not recorded are left out."""
    values: dict[str, np.ndarray] = {}
    for name, size, role in spec["state"]:
        shape = tuple(size)
        if role == "num_batches_tracked":
            values[name] = np.zeros(shape, np.int64)
        elif role == "constant":
            constant = spec.get("constants", {}).get(name)
            if constant is not None and "same_as" in constant:
                values[name] = values[constant["same_as"]].copy()
            elif constant is not None:
                values[name] = np.asarray(constant["data"], constant["dtype"]).reshape(shape)
        elif name in spec.get("values", {}):
            values[name] = np.asarray(spec["values"][name], np.float64).reshape(shape).astype(np.float32)
        else:
            value = np.asarray(draw(name, shape, role), np.float64)
            for pattern, factor in spec.get("scale", {}).items():
                if re.fullmatch(pattern, name):
                    value = value * float(factor)
            values[name] = value.astype(np.float32).reshape(shape)
    for group in spec.get("tied", []):
        for name in group[1:]:
            values[name] = values[group[0]].copy()
    crc = 0
    for value in values.values():
        crc = zlib.crc32(np.ascontiguousarray(value).tobytes(), crc)
    assert crc == spec["fill_crc32"], "the filled values are not those the golden was made with"
    return values


def write_checkpoint(spec: dict, path: Path) -> Path:
    """A checkpoint in the published layout."""
    state = {name: torch.from_numpy(value) for name, value in fill(spec).items()}
    torch.save({"state_dict": state, "meta": {"CLASSES": tuple(spec.get("class_names") or ())}}, path)
    return path


@dataclass
class Agreement:
    """How far found detections are those of a golden, over all frames."""

    recall: float
    precision: float
    box: float  # largest difference of matched boxes, in pixels
    score: float
    masks: float = 1.0  # fraction of compared masks that agree

    @property
    def passed(self) -> bool:
        return min(self.recall, self.precision, self.masks) >= PASS


def pairwise_iou(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    low, high = np.maximum(a[:, None, :2], b[None, :, :2]), np.minimum(a[:, None, 2:], b[None, :, 2:])
    shared = np.clip(high - low, 0, None).prod(-1)
    areas = [np.clip(x[:, 2:] - x[:, :2], 0, None).prod(-1) for x in (a, b)]
    return shared / np.maximum(areas[0][:, None] + areas[1][None] - shared, 1e-12)


def match(golden: dict, frame: int, found) -> tuple[np.ndarray, np.ndarray]:
    """Rows of golden and of found detections that are the same: label, IoU or pixels, scores; one to one."""
    boxes = golden[f"f{frame}_boxes"].reshape(-1, 4).astype(np.float64)
    other = found.boxes.numpy().astype(np.float64)
    if not len(boxes) or not len(other):
        return np.zeros(0, int), np.zeros(0, int)
    iou = pairwise_iou(boxes, other)
    near = np.abs(boxes[:, None] - other[None]).max(-1) <= PIXELS
    off = np.abs(golden[f"f{frame}_scores"].astype(np.float64)[:, None] - found.scores.numpy()[None])
    same = golden[f"f{frame}_labels"][:, None] == found.labels.numpy()[None]
    fits = ((iou >= LEAST_IOU) | near) & (off <= SCORE) & same
    if f"f{frame}_mask_scores" in golden:
        wanted = golden[f"f{frame}_mask_scores"].astype(np.float64)
        fits &= np.abs(wanted[:, None] - found.mask_scores.numpy()[None]) <= SCORE
    rows, columns = linear_sum_assignment(np.where(fits, (1 - iou) + off, 1e3))  # as many pairs as possible
    kept = fits[rows, columns]
    return rows[kept], columns[kept]


def masks_agree(golden: dict, frame: int, found, rows: np.ndarray, columns: np.ndarray) -> list[bool]:
    """Of the matched detections whose mask was recorded, whether the masks are the same."""
    shape = tuple(int(value) for value in golden[f"f{frame}_mask_shape"])
    bits = np.unpackbits(golden[f"f{frame}_masks_packed"])[: int(np.prod(shape))].reshape(shape).astype(bool)
    column_of = dict(zip(rows.tolist(), columns.tolist()))
    agree = []
    for mask, index in zip(bits, golden[f"f{frame}_mask_index"].tolist()):
        if index in column_of:
            other = found.masks[column_of[index]].numpy()
            union = np.logical_or(mask, other).sum()
            agree.append(bool(union == 0 or np.logical_and(mask, other).sum() / union >= MASK_IOU))
    return agree


def compare(golden: dict, found: dict) -> Agreement:
    """Detections of the golden's frames, {frame: Instances}, against the golden."""
    total = given = hits = 0
    box = score = 0.0
    agree: list[bool] = []
    for frame in golden["meta"]["frames"]:
        result = found[frame].to("cpu")
        rows, columns = match(golden, frame, result)
        total += len(golden[f"f{frame}_boxes"])
        given, hits = given + len(result), hits + len(rows)
        if len(rows):
            box = max(box, float(np.abs(golden[f"f{frame}_boxes"][rows] - result.boxes.numpy()[columns]).max()))
            score = max(score, float(np.abs(golden[f"f{frame}_scores"][rows] - result.scores.numpy()[columns]).max()))
        if f"f{frame}_masks_packed" in golden:
            assert result.masks is not None, "the golden has masks, the detections have none"
            agree += masks_agree(golden, frame, result, rows, columns)
    return Agreement(
        recall=hits / max(total, 1) if total else float(given == 0),
        precision=hits / given if given else float(total == 0),
        box=box,
        score=score,
        masks=sum(agree) / len(agree) if agree else 1.0,
    )


def load_filled(name: str, tmp_path: Path, config: str | None = None, **overrides):
    """The model of a published config with the filled checkpoint, at the golden's test scale."""
    golden, spec = load_golden(name), load_spec(name)
    path = write_checkpoint(spec, tmp_path / "checkpoint.pth")
    scale = golden["meta"]["preprocess"].get("img_scale")
    options = {} if scale is None else {"test_scale": tuple(scale)}
    return vidperc.load(config or name, checkpoint=path, **{**options, **overrides}), golden


def detector_agreement(name: str, tmp_path: Path, **overrides) -> Agreement:
    """Run a detector end to end on the golden's frames."""
    model, golden = load_filled(name, tmp_path, **overrides)
    found = {}
    for frame in golden["meta"]["frames"]:
        given = golden.get(f"f{frame}_proposals")  # (n, 5), Fast R-CNN's input
        options = {} if given is None else {"proposals": [Instances(boxes=torch.from_numpy(given[:, :4]))]}
        found[frame] = model.predict([frames()[frame]], **options)[0]
    return compare(golden, found)
