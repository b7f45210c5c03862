"""Search of SiamRPN's penalty, window influence and size rate on videos with truth.

Running the network for every setting would cost as many runs as there are settings. The network sees only
where it looks, and a tracker that works looks about where the object is: so it is run once, its boxes and
scores are kept in pixels of the picture, and the choice among them is replayed for every setting. The best
few are then run in full, so the numbers reported are real ones.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
import torch
from torch import Tensor

from ..structures import Instances, Video
from .siamrpn import SiamRPN
from .siamrpn_anchors import Postprocessor, decode, shape_penalty, to_centers, to_corners

TOGETHER = 128  # settings that are replayed at once
Score = Callable[[int, np.ndarray], float]  # (number of the video, boxes (T, 4) xyxy) -> larger is better


@dataclass(slots=True)
class RecordedFrame:
    """What the network said of one frame, in pixels of the picture."""

    scores: Tensor  # (K,)
    boxes: Tensor  # (K, 4) center x, center y, width, height
    positions: Tensor  # (K, 2) of the anchors
    reach: float  # half of the cosine window's extent
    size: tuple[int, int]  # (height, width)


@dataclass(slots=True)
class Trial:
    """A setting with its mean score over the videos, replayed, and run in full where it was among the best."""

    setting: Postprocessor
    replayed: float
    measured: float | None = None


def record(model: SiamRPN, video: Video, truth: np.ndarray) -> list[RecordedFrame]:
    """Run the network over a video, looking in each frame where the truth was in the frame before.

    Args:
        model: the tracker.
        video: its prompt is the object of the first frame.
        truth: (T, 4) xyxy; where a row is not finite, the one before it is used.

    Returns:
        One entry for each frame but the first.
    """
    out: list[RecordedFrame] = []
    looked = to_centers(torch.as_tensor(truth, dtype=torch.float32))
    with model.inference():
        state = model.init_state(video)
        for index, frame in enumerate(video):
            if state.targets is None:
                model.step(frame, state)
                last = state.targets.boxes[:1]  # type: ignore[attr-defined]
                continue
            before = looked[index - 1 : index].to(model.device)
            last = before if bool(torch.isfinite(before).all()) else last
            logits, codes, scale = model.look(frame.image.to(model.device), state.targets, last)
            anchors, _ = model.priors(logits.shape[1], logits.device)
            to_picture = 1 / float(scale)
            boxes = decode(anchors, codes[0]) * to_picture
            boxes[:, :2] += last[0, :2]
            side = round(math.sqrt(len(anchors) / len(model.anchors.ratios)))
            out.append(
                RecordedFrame(
                    scores=logits[0].softmax(-1)[:, 1], boxes=boxes,
                    positions=anchors[:, :2] * to_picture + last[0, :2],
                    reach=(side - 1) / 2 * model.anchors.stride * to_picture, size=frame.size,
                )
            )  # fmt: skip
    return out


def replay(
    frames: Sequence[RecordedFrame], start: Tensor, settings: Sequence[Postprocessor], min_side: float = 10.0
) -> np.ndarray:
    """The boxes (S, T, 4) xyxy that S settings choose from what was recorded, `start` (4,) xyxy first."""
    values = [[each.penalty, each.window_influence, each.size_rate] for each in settings]
    strength, influence, speed = start.new_tensor(values, dtype=torch.float32).T[:, :, None]  # (S, 1) each
    box = to_centers(start.float()).expand(len(settings), 4)
    boxes = [box]
    for frame in frames:
        offset = ((frame.positions - box[:, None, :2]) / frame.reach).clamp(-1, 1)  # (S, K, 2)
        window = (0.5 + 0.5 * (math.pi * offset).cos()).prod(-1)
        penalty = shape_penalty(frame.boxes[:, 2:], box[:, None, 2:], strength)  # (S, K)
        ranks = penalty * frame.scores * (1 - influence) + window * influence
        best = ranks.nan_to_num(-1.0).argmax(1)  # (S,)
        rate = penalty.gather(1, best[:, None]) * frame.scores[best, None] * speed
        size = torch.lerp(box[:, 2:], frame.boxes[best, 2:], rate)
        limit = size.new_tensor([frame.size[1], frame.size[0]])
        center = torch.minimum(frame.boxes[best, :2].clamp(min=0), limit)
        box = torch.cat([center, torch.minimum(size.clamp(min=min_side), limit)], 1)
        boxes.append(box)
    return to_corners(torch.stack(boxes, 1)).double().cpu().numpy()


def grid(
    penalties: Sequence[float] = (0.0, 0.04, 0.1, 0.2, 0.4),
    window_influences: Sequence[float] = (0.1, 0.2, 0.3, 0.4, 0.5),
    size_rates: Sequence[float] = (0.2, 0.3, 0.4, 0.5, 0.6),
) -> list[Postprocessor]:
    """All combinations."""
    return [Postprocessor(*values) for values in product(penalties, window_influences, size_rates)]


def tune(
    model: SiamRPN,
    videos: Sequence[Video],
    truths: Sequence[np.ndarray],
    score: Score,
    settings: Sequence[Postprocessor],
    confirm: int = 5,
    progress: Callable[[int, int], None] | None = None,
) -> list[Trial]:
    """All settings with their scores, best first; the best `confirm` ones of the replay were run in full.

    The model's own setting is always among those run in full, so a search never ends worse than it began. It is
    as before when this returns.

    Args:
        videos: with prompts, and readable again and again.
        truths: (T, 4) xyxy of each.
        score: of one video's boxes, such as the area under the success curve.
        settings: to be tried; `grid` gives some.
        confirm: how many of the best are run in full.
        progress: called with how many videos the settings were replayed on, and how many there are.

    Raises:
        ValueError: no videos, or truths for another number of them.
    """
    if not videos or len(videos) != len(truths):
        raise ValueError(f"tune: {len(videos)} videos, {len(truths)} truths")
    own = model.postprocessor
    unique = list(dict.fromkeys([own, *settings]))
    totals = np.zeros(len(unique))
    for number, (video, truth) in enumerate(zip(videos, truths)):
        frames = record(model, video, truth)  # of one video at a time: a megabyte holds ten frames
        for first in range(0, len(unique), TOGETHER):
            part = slice(first, first + TOGETHER)
            boxes = replay(frames, prompt_box(video).to(model.device), unique[part], model.min_side)
            totals[part] += [score(number, each) for each in boxes]
        if progress is not None:
            progress(number + 1, len(videos))
    trials = [Trial(setting, float(total / len(videos))) for setting, total in zip(unique, totals)]
    ranked = sorted(trials, key=lambda trial: -trial.replayed)
    try:
        for trial in {id(t): t for t in [*ranked[:confirm], trials[0]]}.values():
            model.postprocessor = trial.setting
            trial.measured = float(np.mean([score(i, run(model, video)) for i, video in enumerate(videos)]))
    finally:
        model.postprocessor = own
    return sorted(ranked, key=lambda trial: (trial.measured is None, -(trial.measured or 0), -trial.replayed))


def run(model: SiamRPN, video: Video) -> np.ndarray:
    """The boxes (T, 4) xyxy of the first object in every frame."""
    results: Iterator[Instances] = model.stream(video)
    return torch.cat([result.boxes[:1] for result in results]).double().cpu().numpy()


def prompt_box(video: Video) -> Tensor:
    """The first object's box (4,) xyxy.

    Raises:
        ValueError: the video has no prompt.
    """
    if video.prompt is None:
        raise ValueError(f"{video.name}: a prompt is needed")
    return video.prompt.boxes[0]
