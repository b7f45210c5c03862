"""STARK: follow objects given by a box in the first frame by a transformer (https://arxiv.org/abs/2103.17154).

Numbers and rules are those of MMTracking 0.14's configs of the same names.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..ops.padded_crop import padded_crops
from ..sequence import SequenceModel
from ..structures import Clip, Frame, Instances, TrackState, Video
from .siamrpn import check_frame, check_prompt
from .siamrpn_anchors import to_centers, to_corners
from .stark_network import CornerHead, ScoreHead, StarkTransformer, Tokens
from .stark_training import BoxCriterion, ScoreCriterion, TrainingBatch, training_batch

MEAN, STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
NO_SCORE = -1.0  # of a model that does not judge its boxes


@dataclass(slots=True)
class StarkTargets:
    """What is remembered of N objects. Its size does not grow with the video."""

    templates: Tokens  # (N, K * S, D): K templates of each
    boxes: Tensor  # (N, 4) center x, center y, width, height in the last frame
    scores: Tensor  # (N,) of the last frame
    lost: Tensor  # (N,) bool
    age: int = 0  # frames since the first one


@dataclass(slots=True)
class StarkState:
    """The prompt, and the objects once the first frame has been seen."""

    video: str  # its name, for errors
    prompt: Instances
    targets: StarkTargets | None = None


class STARK(SequenceModel):
    """Follows every object of the prompt; one Instances per frame, its rows in the order of the prompt.

    The first frame's result is the prompt with score 1. The templates' part of the backbone is computed once.
    Where the network gives no finite box, the last one stays with score 0, and is lost.

    Args:
        backbone, neck, transformer, box_head: the network.
        criterion: the losses.
        templates: K, of each object; the first is that of the first frame.
        template_size, search_size: sides of the crops that the network sees.
        template_factor, search_factor: sides of these crops over the root of the box's area.
        margin: least side of a box, and least share of it inside of the picture, in pixels.
        max_batch: most search crops in one call of the network.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        *,
        backbone: nn.Module,
        neck: nn.Module,
        transformer: StarkTransformer,
        box_head: CornerHead,
        criterion: BoxCriterion | ScoreCriterion | None = None,
        templates: int = 2,
        template_size: int = 128,
        search_size: int = 320,
        template_factor: float = 2.0,
        search_factor: float = 5.0,
        margin: float = 10.0,
        max_batch: int = 16,
    ) -> None:
        super().__init__()
        self.backbone, self.neck, self.transformer, self.box_head = backbone, neck, transformer, box_head
        self.criterion, self.templates = criterion, templates
        self.template_size, self.search_size = template_size, search_size
        self.template_factor, self.search_factor = template_factor, search_factor
        self.margin, self.max_batch = margin, max_batch
        self.register_buffer("mean", torch.tensor(MEAN)[:, None, None], persistent=False)
        self.register_buffer("std", torch.tensor(STD)[:, None, None], persistent=False)

    # The network

    def embed(self, crops: Tensor, padding: Tensor) -> Tokens:
        """Tokens of RGB crops (N, 3, H, W) from 0 to 255 whose `padding` is (N, H, W)."""
        features = self.neck(self.backbone((crops - self.mean) / self.std))[0]
        return self.transformer.tokens(features, padding)

    def search(self, templates: Tokens, search: Tokens) -> tuple[Tensor, Tensor]:
        """Decoded queries (N, D), and boxes (N, 4) xyxy in pixels of the search crops."""
        query, memory = self.transformer(Tokens.cat([templates, search], 1))
        return query, self.box_head(query, memory[:, templates.values.shape[1] :])

    @abstractmethod
    def judge(self, query: Tensor) -> tuple[Tensor, Tensor]:
        """Scores (N,) of decoded queries (N, D), and (N,) bool, which objects are lost."""

    def renew(self, image: Tensor, targets: StarkTargets) -> None:
        """Change the templates after a frame, where the method does."""

    # Following

    def init_state(self, video: Video | None = None) -> StarkState:
        """The state before the first frame, which `step` then takes the templates from.

        Raises:
            ValueError: the video has no prompt.
        """
        if video is None or video.prompt is None:
            name = "a session" if video is None else video.name
            raise ValueError(f"{name}: STARK needs a prompt, the box x1 y1 x2 y2 of the object in the first frame")
        return StarkState(video.name, video.prompt.to(self.device))

    def step(self, frame: Frame, state: StarkState) -> Instances:
        return self.step_batch([frame], [state])[0]

    def step_batch(self, frames: Sequence[Frame], states: Sequence[StarkState]) -> list[Instances]:
        """One step of several videos; the search crops of all their objects go through the network together."""
        for frame, state in zip(frames, states, strict=True):
            check_frame(frame, state.video)
            if state.targets is None:
                check_prompt(state.prompt.boxes, frame, state.video)
        images = [frame.image.to(self.device) for frame in frames]
        running = [(image, state.targets) for image, state in zip(images, states) if state.targets is not None]
        if running:
            self._follow(*zip(*running))
        for image, state in zip(images, states):
            if state.targets is None:
                state.targets = self.start(image, state.prompt.boxes)
        return [_report(state) for state in states]

    def start(self, image: Tensor, boxes: Tensor) -> StarkTargets:
        """The objects at `boxes` (N, 4) xyxy of a picture (3, H, W), ready to be followed; all templates are alike."""
        boxes = to_centers(boxes.float())
        templates = Tokens.cat([self.embed_templates(image, boxes)] * self.templates, 1)
        scores = torch.ones(len(boxes), device=boxes.device)
        return StarkTargets(templates, boxes, scores, torch.zeros_like(scores, dtype=torch.bool))

    def embed_templates(self, image: Tensor, boxes: Tensor) -> Tokens:
        """One template (N, S, D) of each of the objects at `boxes` (N, 4), given as centers and sizes."""
        crops, padding, _ = padded_crops(image, boxes, self.template_factor, self.template_size)
        parts = [slice(start, start + self.max_batch) for start in range(0, len(boxes), self.max_batch)]
        return Tokens.cat([self.embed(crops[part], padding[part]) for part in parts])

    def _follow(self, images: Sequence[Tensor], targets: Sequence[StarkTargets]) -> None:
        """Move every object to where it is in the next picture."""
        before = torch.cat([target.boxes for target in targets])
        pairs = zip(images, targets)
        cut = [padded_crops(image, each.boxes, self.search_factor, self.search_size) for image, each in pairs]
        crops, padding, sides = (torch.cat(field) for field in zip(*cut))
        query, found = self._locate(Tokens.cat([target.templates for target in targets]), crops, padding)
        scores, lost = self.judge(query)
        finite = found.isfinite().all(1) & scores.isfinite()
        scores, lost = scores.where(finite, 0.0), lost | ~finite
        moved = found * (sides / self.search_size)[:, None] + (before[:, :2] - sides[:, None] / 2).repeat(1, 2)
        start = 0
        for image, target in zip(images, targets):
            rows = slice(start, start + len(target.boxes))
            clipped = clip_boxes(moved[rows], image.shape[2], image.shape[1], self.margin)
            target.boxes = clipped.where(finite[rows, None], target.boxes)
            target.scores, target.lost = scores[rows], lost[rows]
            target.age += 1
            self.renew(image, target)
            start = rows.stop

    def _locate(self, templates: Tokens, crops: Tensor, padding: Tensor) -> tuple[Tensor, Tensor]:
        """As `search`, from search crops (N, 3, H, W), at most `max_batch` at a time."""
        parts = [slice(start, start + self.max_batch) for start in range(0, len(crops), self.max_batch)]
        outputs = [self.search(templates[part], self.embed(crops[part], padding[part])) for part in parts]
        return torch.cat([query for query, _ in outputs]), torch.cat([boxes for _, boxes in outputs])

    # Training

    def _batch(self, clips: list[Clip]) -> TrainingBatch:
        return training_batch(clips, self.templates, (self.template_size, self.search_size), self.device)

    def _criterion(self, outputs: Tensor, targets: Tensor) -> dict[str, Tensor]:
        if self.criterion is None:
            raise ValueError("this STARK has no criterion to be trained with")
        return self.criterion(outputs, targets)


class STARKST1(STARK):
    """STARK that finds boxes alone (stage 1): its score is -1, no object is ever called lost, templates stay."""

    def judge(self, query: Tensor) -> tuple[Tensor, Tensor]:
        scores = torch.full((len(query),), NO_SCORE, device=query.device)
        return scores, torch.zeros_like(scores, dtype=torch.bool)

    def forward(self, clips: list[Clip]) -> dict[str, Tensor]:
        """Losses of the boxes; each clip is templates and then the search frame, as `StarkCrops` makes them."""
        batch = self._batch(clips)
        templates = Tokens.cat([self.embed(*crops) for crops in batch.templates], 1)
        _, boxes = self.search(templates, self.embed(*batch.search))
        return self._criterion(boxes / self.search_size, batch.boxes / self.search_size)


class STARKST2(STARK):
    """STARK with a head that judges its boxes (stage 2), and renews templates by it (section 3.2).

    Only the score head learns; the rest is that of a trained stage 1. An object is lost while its score, the
    probability that it is in the search region, is below `lost_threshold`.

    Args:
        score_head: on the decoded query.
        update_intervals: every how many frames each template but the first is replaced by the box of that frame.
        update_threshold: where the score is above.
        others: as for `STARK`.
    """

    def __init__(
        self,
        *,
        backbone: nn.Module,
        neck: nn.Module,
        transformer: StarkTransformer,
        box_head: CornerHead,
        score_head: ScoreHead,
        criterion: ScoreCriterion | None = None,
        update_intervals: Sequence[int] = (200,),
        update_threshold: float = 0.5,
        lost_threshold: float = 0.5,
        template_size: int = 128,
        search_size: int = 320,
        template_factor: float = 2.0,
        search_factor: float = 5.0,
        margin: float = 10.0,
        max_batch: int = 16,
    ) -> None:
        if any(interval < 1 for interval in update_intervals):
            raise ValueError(f"update_intervals: expected frames from 1 on, got {list(update_intervals)}")
        super().__init__(
            backbone=backbone, neck=neck, transformer=transformer, box_head=box_head, criterion=criterion,
            templates=1 + len(update_intervals), template_size=template_size, search_size=search_size,
            template_factor=template_factor, search_factor=search_factor, margin=margin, max_batch=max_batch,
        )  # fmt: skip
        self.score_head, self.update_intervals = score_head, tuple(update_intervals)
        self.update_threshold, self.lost_threshold = update_threshold, lost_threshold
        self.train()

    def train(self, mode: bool = True) -> STARKST2:
        super().train(mode)
        self.backbone.eval()  # batch statistics rest; the transformer's dropout does not, as published
        self.requires_grad_(False)
        self.score_head.requires_grad_(True)
        return self

    def judge(self, query: Tensor) -> tuple[Tensor, Tensor]:
        scores = self.score_head(query).sigmoid()
        return scores, scores < self.lost_threshold

    def renew(self, image: Tensor, targets: StarkTargets) -> None:
        due = [place for place, interval in enumerate(self.update_intervals, 1) if targets.age % interval == 0]
        sure = targets.scores > self.update_threshold
        if due and bool(sure.any()):
            new = self.embed_templates(image, targets.boxes[sure])
            for place in due:
                targets.templates.write(sure, place, new)

    def forward(self, clips: list[Clip]) -> dict[str, Tensor]:
        """The loss of the scores; in a pair of two different ids the search frame does not show the object."""
        batch = self._batch(clips)
        with torch.no_grad():
            tokens = [self.embed(*crops) for crops in (*batch.templates, batch.search)]
            query, _ = self.transformer(Tokens.cat(tokens, 1))
        return self._criterion(self.score_head(query), batch.positive)


def clip_boxes(boxes: Tensor, width: int, height: int, margin: float) -> Tensor:
    """Boxes (N, 4) xyxy into a picture, as centers and sizes: `margin` pixels stay inside, no side is shorter.

    As published, a side that is too short grows at its far end.
    """
    size = boxes.new_tensor([width, height])
    first = torch.minimum(boxes[:, :2].clamp(min=0), size - margin)
    last = torch.minimum(boxes[:, 2:].clamp(min=margin), size)
    sizes = (last - first).clamp(min=margin)
    return torch.cat([first + sizes / 2, sizes], 1)


def _report(state: StarkState) -> Instances:
    """The objects as they are now."""
    targets, prompt = state.targets, state.prompt
    assert targets is not None
    count, device = len(prompt), targets.boxes.device
    return Instances(
        boxes=to_corners(targets.boxes),
        labels=torch.zeros(count, dtype=torch.int64, device=device) if prompt.labels is None else prompt.labels,
        scores=targets.scores,
        ids=torch.arange(count, device=device) if prompt.ids is None else prompt.ids,
        states=torch.where(targets.lost, int(TrackState.LOST), int(TrackState.CONFIRMED)),
    )
