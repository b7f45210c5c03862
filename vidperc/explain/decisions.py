"""The decisions behind a switch.

The track that an object leaves is followed from its last match on. What is explained are two decisions: the first
one in which a detection of the object went to no track or to another one, and the one in which the object's new track
got it.
"""

from __future__ import annotations

import numpy as np
from torch import Tensor

from ..evaluation.tracks import Tracks
from ..video.association import iou_matrix
from .records import Decision, Explanation, Switch
from .rerun import Rerun
from .stages import failed_limits, stage_views

ON_OBJECT = 0.5  # least IoU of a detection with the object it is said to be of
FAINT = 0.1  # detections scored below are none


def explain_switch(switch: Switch, sequence: str, rerun: Rerun, truth: dict[int, dict[int, np.ndarray]]) -> Explanation:
    """The decisions behind one switch."""
    span = range(switch.since + 1, switch.frame + 1)
    own: dict[int, int] = {}  # frame -> detection of the object
    for index in span:
        row = _detection_of(switch, index, rerun, truth)
        if row is not None:
            own[index] = row
    lost = next((k for k, row in own.items() if rerun.moments[k].takers.get(row) != switch.before), switch.frame)
    taken = next((k for k, row in own.items() if rerun.moments[k].takers.get(row) == switch.now), switch.frame)
    decisions = [
        _decision(index, own[index], switch, rerun, truth.get(index, {}))
        for index in sorted({lost, taken})
        if index in own
    ]
    return Explanation(sequence, switch, len(span) - len(own), decisions)


def _detection_of(switch: Switch, index: int, rerun: Rerun, truth: dict[int, dict[int, np.ndarray]]) -> int | None:
    """The detection of the object in a frame: that of its track in the frame of the switch, else the nearest."""
    if index == switch.frame:
        return next((row for row, key in rerun.moments[index].takers.items() if key == switch.now), None)
    detections = rerun.given[index].detections
    box = truth.get(index, {}).get(-1 if switch.object is None else switch.object)
    if box is None or not len(detections):
        return None
    overlap = iou_matrix(box[None].astype(np.float64), detections.boxes.double().numpy(force=True))[0]
    if detections.scores is not None:
        overlap = np.where(detections.scores.numpy(force=True) < FAINT, 0.0, overlap)
    return int(overlap.argmax()) if overlap.max() >= ON_OBJECT else None


def _decision(index: int, row: int, switch: Switch, rerun: Rerun, truth: dict[int, np.ndarray]) -> Decision:
    detections, moment = rerun.given[index].detections, rerun.moments[index]
    score = 1.0 if detections.scores is None else float(detections.scores[row])
    taker = moment.takers.get(row)
    instead = next((other for other, key in moment.takers.items() if key == switch.before), None)
    end = rerun.ended(switch.before, index)
    if end is not None:
        standing = f"had ended in frame {end.frame + 1}: {end.reason}"
    else:
        standing = {0: "was tentative", 1: "was confirmed", 2: "was lost"}[moment.alive.get(switch.before, 0)]
    return Decision(
        frame=index,
        detection=row,
        score=score,
        box=tuple(round(value, 1) for value in detections.boxes[row].tolist()),
        track=standing,
        taker=taker,
        started=taker in moment.born,
        instead=instead if instead != row else None,
        instead_object=_object_at(detections.boxes[instead], truth) if instead not in (None, row) else None,
        stages=stage_views(moment.stages, row, score, switch.before),
        start_failures=failed_limits(moment.start, score) if taker is None else [],
    )


def _object_at(box: Tensor, truth: dict[int, np.ndarray]) -> int | None:
    """The object of the ground truth that a detection is on."""
    if not truth:
        return None
    overlap = iou_matrix(box.double().numpy(force=True)[None], np.stack(list(truth.values())).astype(np.float64))[0]
    return list(truth)[int(overlap.argmax())] if overlap.max() >= ON_OBJECT else None


def boxes_of(truth: Tracks) -> dict[int, dict[int, np.ndarray]]:
    """Boxes of the ground truth by frame and id."""
    out: dict[int, dict[int, np.ndarray]] = {}
    for frame, key, box in zip(truth.frames.tolist(), truth.ids.tolist(), truth.boxes):
        out.setdefault(frame, {})[key] = box
    return out
