"""COCO average precision of boxes and masks (https://cocodataset.org/#detection-eval).

By pycocotools, or by faster-coco-eval (https://github.com/MiXaiLL76/faster_coco_eval), which gives the same
numbers in less time where it is installed (`pip install vidperc[fast-eval]`).
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Mapping, Sequence
from typing import Any, Literal, get_args

import numpy as np
from pycocotools import mask as rle_codec
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from ..structures import Instances
from .evaluators import Evaluator, paired_frames

Kind = Literal["bbox", "segm"]
Backend = Literal["pycocotools", "faster"]
METRICS = ("AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10", "AR100", "ARs", "ARm", "ARl")


class COCOEvaluator(Evaluator):
    """Average precision over all frames of all videos, each frame an image of its own.

    Ignored objects of the truth count as crowd regions: detections on them are neither right nor wrong.
    A class without truth is left out of the mean. All scores are fractions; -1 where there is nothing to
    score (COCO's sign for it).

    Args:
        classes: names, in the order of labels.
        kind: "bbox", or "segm" for masks.
        max_detections: per image, the last of COCO's three limits.
        backend: what counts.
    """

    def __init__(
        self,
        classes: Sequence[str],
        kind: Kind = "bbox",
        max_detections: int = 100,
        backend: Backend = "pycocotools",
    ) -> None:
        if kind not in ("bbox", "segm"):
            raise ValueError(f"COCO evaluation of '{kind}': expected bbox or segm")
        self.classes, self.kind, self.max_detections = tuple(classes), kind, max_detections
        self.backend = backend
        self._images: list[dict[str, Any]] = []
        self._truths: list[dict[str, Any]] = []
        self._results: list[dict[str, Any]] = []

    def process(
        self, video: str, predictions: Sequence[Instances], truths: Sequence[Instances | None] | None = None
    ) -> None:
        """Takes one video's frames. A frame whose truth is None is not annotated and not counted.

        Raises:
            ValueError: no truth, another number of frames, or a field that is missing.
        """
        for index, predicted, truth in paired_frames(video, predictions, truths):
            self._add_frame(f"{video}, frame {index}", predicted, truth)

    def _add_frame(self, name: str, predicted: Instances, truth: Instances) -> None:
        number = len(self._images) + 1
        # Masks are given as RLE, which knows its size; pycocotools asks for the image's all the same.
        self._images.append({"id": number, "file_name": name, "height": 0, "width": 0})
        ignored = [False] * len(truth) if truth.ignored is None else truth.ignored.tolist()
        for record, crowd in zip(self._records(name, truth, number), ignored):
            record.update(id=len(self._truths) + 1, iscrowd=int(crowd), ignore=int(crowd))
            self._truths.append(record)
        if predicted.scores is None:
            raise ValueError(f"{name}: predictions have no scores")
        has_own = self.kind == "segm" and predicted.mask_scores is not None
        scores: Any = predicted.mask_scores if has_own else predicted.scores
        for record, score in zip(self._records(name, predicted, number), scores.tolist()):
            self._results.append({**record, "score": score})

    def _records(self, name: str, objects: Instances, number: int) -> list[dict[str, Any]]:
        if objects.labels is None or (self.kind == "segm" and objects.masks is None):
            raise ValueError(f"{name}: {'labels' if objects.labels is None else 'masks'} are missing")
        labels = objects.labels.tolist()
        if labels and not 0 <= min(labels) <= max(labels) < len(self.classes):
            raise ValueError(f"{name}: label {max(labels)} of {len(self.classes)} classes")
        boxes = objects.boxes.detach().cpu().double().numpy().reshape(-1, 4)
        sides = boxes[:, 2:] - boxes[:, :2]
        records: list[dict[str, Any]] = [
            {
                "image_id": number,
                "category_id": label + 1,
                "bbox": [*corner, *side.tolist()],
                "area": float(side.prod()),
            }
            for label, corner, side in zip(labels, boxes[:, :2].tolist(), sides)
        ]
        if self.kind == "segm" and objects.masks is not None:
            for record, mask in zip(records, objects.masks.cpu().numpy()):
                record["segmentation"] = rle_codec.encode(np.asfortranarray(mask.astype(np.uint8)))
                record["area"] = float(mask.sum())
        return records

    def evaluate(self) -> dict[str, float]:
        """COCO's twelve numbers.

        Raises:
            ValueError: nothing was processed.
        """
        if not self._images:
            raise ValueError("COCO evaluation: no annotated frame was processed")
        return dict(zip(METRICS, summary(self._run())))

    def per_class(self) -> dict[str, float]:
        """AP50 of each class; -1 for a class without truth."""
        precision = self._run().eval["precision"][0, :, :, 0, -1]  # (recalls, C) at IoU 0.5, all areas
        means = [float(column[column > -1].mean()) if (column > -1).any() else -1.0 for column in precision.T]
        return dict(zip(self.classes, means))

    def _run(self) -> COCOeval:
        truth = {"images": self._images, "annotations": self._truths, "categories": numbered(self.classes)}
        limits = (1, 10, self.max_detections)
        return run_cocoeval(truth, self._results, self.kind, limits, backend=self.backend)


def numbered(classes: Sequence[str]) -> list[dict[str, Any]]:
    """COCO's categories, numbered from 1 in the order of the classes."""
    return [{"id": number, "name": name} for number, name in enumerate(classes, 1)]


def run_cocoeval(
    truth: Mapping[str, Any],
    results: Sequence[Mapping[str, Any]],
    kind: Kind,
    limits: tuple[int, int, int] = (1, 10, 100),
    *,
    by_class: bool = True,
    backend: Backend = "pycocotools",
) -> Any:
    """COCO's evaluation of results against a truth, accumulated: its `eval` has precision and recall.

    Args:
        truth: images, annotations and categories as in COCO's files.
        results: rows of image_id, category_id, score and bbox, for segm also segmentation, which a `mask_score`
            ranks where there is one.
        limits: numbers of the best detections of an image that count.
        by_class: whether classes are told apart; False for proposals.

    Raises:
        ValueError: an unknown backend. ImportError: the faster one is not installed.
    """
    index, evaluate = _backend(backend)
    with contextlib.redirect_stdout(io.StringIO()):  # pycocotools reports by print
        known, found = index(), index()
        known.dataset = dict(truth)
        known.createIndex()
        found.dataset = {**truth, "annotations": [_annotation(row, n, kind) for n, row in enumerate(results, 1)]}
        found.createIndex()
        run = evaluate(known, found, kind)
        run.params.maxDets = list(limits)
        run.params.useCats = int(by_class)
        run.evaluate()
        run.accumulate()
    return run


def _backend(name: Backend) -> tuple[Any, Any]:
    """The classes of an annotation file and of its evaluation."""
    if name == "pycocotools":
        return COCO, COCOeval
    if name != "faster":
        raise ValueError(f"COCO evaluation by '{name}': expected {' or '.join(get_args(Backend))}")
    try:
        from faster_coco_eval import COCO as FasterCOCO
        from faster_coco_eval import COCOeval_faster
    except ImportError as error:
        raise ImportError("the faster COCO evaluation needs `pip install faster-coco-eval`") from error
    return FasterCOCO, COCOeval_faster


def _annotation(row: Mapping[str, Any], number: int, kind: Kind) -> dict[str, Any]:
    """A result as COCO's `loadRes` completes it."""
    if kind == "segm":
        area, box = float(rle_codec.area(row["segmentation"])), rle_codec.toBbox(row["segmentation"]).tolist()
        row = {**row, "score": row.get("mask_score", row["score"])}
    else:
        area, box = row["bbox"][2] * row["bbox"][3], row["bbox"]
    return {**row, "id": number, "iscrowd": 0, "bbox": box, "area": area}


def summary(run: Any) -> list[float]:
    """COCO's twelve numbers, in the order of `METRICS`; -1 where there is nothing to score."""
    halves = {0.5: 0, 0.75: 5}
    precision = run.eval["precision"]  # (T, R, C, A, M)
    averages = [_mean(precision[..., 0, -1]), *(_mean(precision[t, ..., 0, -1]) for t in halves.values())]
    averages += [_mean(precision[..., area, -1]) for area in (1, 2, 3)]
    return averages + recalls(run)


def recalls(run: Any) -> list[float]:
    """Average recall at each limit of detections, then at the last one for small, medium and large objects."""
    recall = run.eval["recall"]  # (T, C, A, M)
    return [_mean(recall[..., 0, limit]) for limit in range(3)] + [_mean(recall[..., area, -1]) for area in (1, 2, 3)]


def _mean(values: np.ndarray) -> float:
    return float(values[values > -1].mean()) if (values > -1).any() else -1.0
