"""SiamRPN++: follow objects given by a box in the first frame (https://arxiv.org/abs/1812.11703)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ..ops.crop import sample_windows, window_bounds
from ..sequence import AUTOCAST, SequenceModel
from ..structures import Clip, Frame, Instances, TrackState, Video
from .siamrpn_anchors import AnchorGrid, Postprocessor, flatten_maps, hanning_window, to_centers, to_corners
from .siamrpn_head import AveragedRPNHead, TemplateKernels
from .siamrpn_network import ModuleNetwork, SiameseNetwork, fold, middle
from .siamrpn_training import SiameseCriterion, training_batch

# (centers (N, 2), sides (N,), width, height of the picture) -> first and last pixels (N, 4), see `window_bounds`
Windows = Callable[[Tensor, Tensor, int, int], Tensor]
LARGEST = 1e6  # pixels a prompt may reach: beyond, float32 no longer tells pixels apart


@dataclass(slots=True)
class SiamRPNTargets:
    """What is remembered of N objects. Its size does not grow with the video."""

    kernels: TemplateKernels
    boxes: Tensor  # (N, 4) center x, center y, width, height in the last frame
    colours: Tensor  # (N, 3) mean of the first frame, RGB
    scores: Tensor  # (N,) of the last frame


@dataclass(slots=True)
class SiamRPNState:
    """The prompt, and the objects once the first frame has been seen."""

    video: str  # its name, for errors
    prompt: Instances
    targets: SiamRPNTargets | None = None


class SiamRPN(SequenceModel):
    """Follows every object of the prompt; one Instances per frame, its rows in the order of the prompt.

    The first frame's result is the prompt with score 1. A row's state is LOST while its score, the
    probability that the box holds the object, is below `lost_threshold`. A box's centre stays in the
    picture and its sides between `min_side` and the picture's; an object that has left keeps a box at
    the border with a low score.

    Args:
        backbone, neck, head: the network.
        anchors, postprocessor, criterion: its anchors, the choice among their boxes, the losses.
        template_size, search_size: sides of the crops that the network sees.
        context: share of width + height added to each side of a box for its crop.
        center_size: side of the template's features that are kept.
        lost_threshold: below this score an object is called lost.
        min_side: least side of a box in pixels.
        max_batch: most search crops in one call of the network.
        windows: which pixels a crop shows.
    """

    def __init__(
        self,
        *,
        backbone: nn.Module,
        neck: nn.Module,
        head: AveragedRPNHead,
        anchors: AnchorGrid,
        postprocessor: Postprocessor,
        criterion: SiameseCriterion | None = None,
        template_size: int = 127,
        search_size: int = 255,
        context: float = 0.5,
        center_size: int = 7,
        lost_threshold: float = 0.5,
        min_side: float = 10.0,
        max_batch: int = 32,
        windows: Windows = window_bounds,
    ) -> None:
        super().__init__()
        self.backbone, self.neck, self.head = backbone, neck, head
        self.anchors, self.postprocessor, self.criterion = anchors, postprocessor, criterion
        self.template_size, self.search_size = template_size, search_size
        self.context, self.center_size = context, center_size
        self.lost_threshold, self.min_side, self.max_batch = lost_threshold, min_side, max_batch
        self.windows = windows
        self._folded: tuple[object, SiameseNetwork] | None = None  # of the parameters alone, made anew when they change

    # The network

    def network(self) -> SiameseNetwork:
        """The modules while training, else their folded form in the model's precision."""
        modules = ModuleNetwork(self.backbone, self.neck, self.head)
        if self.training:
            return modules
        dtype = AUTOCAST[self.precision] or torch.float32
        tensors = [*self.parameters(), *self.buffers()]
        key = (dtype, *((tensor.data_ptr(), tensor._version) for tensor in tensors))
        if self._folded is None or self._folded[0] != key:
            self._folded = None  # free the old one first
            self._folded = (key, fold(modules, dtype, self.search_size, self.center_size))
        return self._folded[1]

    def __getstate__(self) -> dict[str, Any]:
        """What copies and pickles hold: not the folded network, whose layouts are of this process."""
        return {**self.__dict__, "_folded": None}

    # Following

    def init_state(self, video: Video | None = None) -> SiamRPNState:
        """The state before the first frame, which `step` then takes the templates from.

        Raises:
            ValueError: the video has no prompt.
        """
        if video is None or video.prompt is None:
            name = "a session" if video is None else video.name
            raise ValueError(f"{name}: SiamRPN needs a prompt, the box x1 y1 x2 y2 of the object in the first frame")
        return SiamRPNState(video.name, video.prompt.to(self.device))

    def step(self, frame: Frame, state: SiamRPNState) -> Instances:
        return self.step_batch([frame], [state])[0]

    def step_batch(self, frames: Sequence[Frame], states: Sequence[SiamRPNState]) -> list[Instances]:
        """One step of several videos; the search crops of all their objects go through the network together."""
        for frame, state in zip(frames, states, strict=True):
            check_frame(frame, state.video)
        images = [frame.image.to(self.device) for frame in frames]
        for frame, image, state in zip(frames, images, states):
            if state.targets is not None:
                continue
            check_prompt(state.prompt.boxes, frame, state.video)
            state.targets = self.embed(image, state.prompt.boxes)
        running = [i for i, state in enumerate(states) if not is_first(state)]
        if running:
            self._follow([images[i] for i in running], [states[i].targets for i in running])  # type: ignore[misc]
        for i in set(range(len(states))) - set(running):
            states[i].targets.scores = torch.ones(len(states[i].prompt), device=self.device)  # type: ignore[union-attr]
        return [self._report(state) for state in states]

    def embed(self, image: Tensor, boxes: Tensor) -> SiamRPNTargets:
        """The objects at `boxes` (N, 4) xyxy of a picture (3, H, W), ready to be followed."""
        centers = to_centers(boxes.float())
        colours = image.float().mean((1, 2)).expand(len(boxes), 3)
        sides = self._context_sides(centers[:, 2:]).round()
        crops = self._crop(image, centers[:, :2], sides, colours, self.template_size)
        scores = torch.full((len(boxes),), torch.nan, device=boxes.device)
        return SiamRPNTargets(self.embed_template(crops), centers, colours, scores)

    def embed_template(self, crops: Tensor) -> TemplateKernels:
        """Kernels from template crops (N, 3, template_size, template_size), BGR from 0 to 255."""
        network = self.network()
        return network.embed_template(middle(network.features(crops), self.center_size))

    def search(self, kernels: TemplateKernels, crops: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (N, K, 2) and codes (N, K, 4) from search crops (N, 3, search_size, search_size), BGR."""
        network = self.network()
        logits, codes = network.correlate(kernels, network.features(crops))
        return flatten_maps(logits, 2).float(), flatten_maps(codes, 4).float()

    def _follow(self, images: list[Tensor], targets: list[SiamRPNTargets]) -> None:
        """Move every object to where it is in the next picture."""
        sides = [self._context_sides(target.boxes[:, 2:]) for target in targets]
        crops = torch.cat([
            self._crop(image, target.boxes[:, :2], self._search_sides(side), target.colours, self.search_size)
            for image, target, side in zip(images, targets, sides)
        ])  # fmt: skip
        boxes = torch.cat([target.boxes for target in targets])
        kernels = TemplateKernels.cat([target.kernels for target in targets])
        boxes, scores = self._locate(kernels, crops, boxes, self.template_size / torch.cat(sides))
        counts = [len(target.boxes) for target in targets]
        for image, target, box, score in zip(images, targets, boxes.split(counts), scores.split(counts)):
            target.boxes, target.scores = self._clip(box, image), score

    def look(self, image: Tensor, targets: SiamRPNTargets, boxes: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The network's output where `boxes` (N, 4) are, whatever the objects' own: logits, codes and scales (N,)."""
        sides = self._context_sides(boxes[:, 2:])
        crops = self._crop(
            image, boxes[:, :2], self._search_sides(sides), targets.colours[: len(boxes)], self.search_size
        )
        logits, codes = self.search(targets.kernels[slice(len(boxes))], crops)
        return logits, codes, self.template_size / sides

    def _locate(self, kernels: TemplateKernels, crops: Tensor, boxes: Tensor, scales: Tensor) -> tuple[Tensor, Tensor]:
        """New boxes (N, 4) and scores (N,) of the objects, from their search crops; not yet clipped."""
        parts = []
        for start in range(0, len(crops), self.max_batch):
            part = slice(start, start + self.max_batch)
            logits, codes = self.search(kernels[part], crops[part])
            anchors, window = self.priors(logits.shape[1], logits.device)
            parts.append(self.postprocessor(logits, codes, anchors, window, boxes[part], scales[part]))
        return torch.cat([p[0] for p in parts]), torch.cat([p[1] for p in parts])

    def priors(self, count: int, device: torch.device) -> tuple[Tensor, Tensor]:
        """Anchors (K, 4) and window (K,) of a square map with `count` = K anchors in all."""
        kinds = len(self.anchors.ratios)
        side = round((count / kinds) ** 0.5)
        return self.anchors.boxes(side, side, device), hanning_window(side, side, kinds, device)

    # Crops

    def _context_sides(self, sizes: Tensor) -> Tensor:
        """Side (N,) of the square that a box of `sizes` (N, 2) is cropped in, with context, for the template."""
        context = self.context * sizes.sum(1)
        return ((sizes[:, 0] + context) * (sizes[:, 1] + context)).sqrt()

    def _search_sides(self, sides: Tensor) -> Tensor:
        """Side of the search region in the picture, in whole pixels."""
        return (sides * (self.search_size / self.template_size)).round()

    def _crop(self, image: Tensor, centers: Tensor, sides: Tensor, colours: Tensor, size: int) -> Tensor:
        """BGR crops (N, 3, size, size) of an RGB picture."""
        bounds = self.windows(centers, sides, image.shape[2], image.shape[1])
        return sample_windows(image, bounds, size, colours).flip(1)

    def _clip(self, boxes: Tensor, image: Tensor) -> Tensor:
        """Centres into the picture, sides between `min_side` and the picture's."""
        size = boxes.new_tensor([image.shape[2], image.shape[1]])
        centers = torch.minimum(boxes[:, :2].clamp(min=0), size)
        return torch.cat([centers, torch.minimum(boxes[:, 2:].clamp(min=self.min_side), size)], 1)

    def _report(self, state: SiamRPNState) -> Instances:
        """The objects as they are now."""
        targets, prompt = state.targets, state.prompt
        assert targets is not None
        count, device = len(prompt), targets.boxes.device
        lost = targets.scores < self.lost_threshold
        return Instances(
            boxes=to_corners(targets.boxes),
            labels=torch.zeros(count, dtype=torch.int64, device=device) if prompt.labels is None else prompt.labels,
            scores=targets.scores,
            ids=torch.arange(count, device=device) if prompt.ids is None else prompt.ids,
            states=torch.where(lost, int(TrackState.LOST), int(TrackState.CONFIRMED)),
        )

    # Finding again

    def redetect(self, frame: Frame, state: SiamRPNState, objects: Sequence[int] | None = None) -> Instances:
        """Search the whole frame for objects, wherever they were, and go on from where they are found.

        Search regions at the object's size are laid over the frame, overlapping by half; the best of all
        their boxes is taken, without the window's preference for a place.

        Args:
            frame: the frame that `step` has just seen.
            state: of its video, changed in place.
            objects: rows of the prompt; None for all that are lost.

        Raises:
            ValueError: before the first `step`, or an object that there is not.
        """
        targets = state.targets
        if targets is None:
            raise ValueError(f"{state.video}: redetect: step has not seen a frame of this video yet")
        check_frame(frame, state.video)
        if objects is None:
            objects = (targets.scores < self.lost_threshold).nonzero()[:, 0].tolist()
        unknown = [row for row in objects if not 0 <= row < len(targets.boxes)]
        if unknown:
            raise ValueError(f"{state.video}: redetect: object {unknown[0]} of {len(targets.boxes)}, counted from 0")
        with self.inference():
            boxes, scores = targets.boxes.clone(), targets.scores.clone()
            for row in objects:
                boxes[row], scores[row] = self._search_frame(frame.image.to(self.device), targets, row)
            targets.boxes, targets.scores = boxes, scores
            return self._report(state)

    def _search_frame(self, image: Tensor, targets: SiamRPNTargets, row: int) -> tuple[Tensor, Tensor]:
        """Box (4,) and score of one object, searched for all over the picture."""
        box = targets.boxes[row]
        side = self._context_sides(box[None, 2:])  # (1,)
        reach = float(self._search_sides(side)) / 2
        centers = torch.cartesian_prod(
            _cover(image.shape[2], reach, box.device), _cover(image.shape[1], reach, box.device)
        )  # (R, 2)
        starts = torch.cat([centers, box[2:].expand(len(centers), 2)], 1)
        best, best_score = box, targets.scores[row]
        anywhere = Postprocessor(self.postprocessor.penalty, 0.0, self.postprocessor.size_rate)
        for part in starts.split(self.max_batch):
            count = len(part)
            sides = self._search_sides(side.expand(count))
            crops = self._crop(image, part[:, :2], sides, targets.colours[row].expand(count, 3), self.search_size)
            logits, codes = self.search(targets.kernels[row : row + 1], crops)
            anchors, window = self.priors(logits.shape[1], logits.device)
            scales = (self.template_size / side).expand(count)
            boxes, scores = anywhere(logits, codes, anchors, window, part, scales)
            top = scores.argmax()
            if scores[top] > best_score:
                best, best_score = self._clip(boxes[top : top + 1], image)[0], scores[top]
        return best, best_score

    # Training

    def forward(self, clips: list[Clip]) -> dict[str, Tensor]:
        """Losses of pairs: each clip has a template frame and a search frame with one box each.

        A pair whose boxes have different ids is one of two different objects. Where the first frame is of
        `template_size`, both are taken as crops, the second of any side; others are cropped about their box.
        """
        if self.criterion is None:
            raise ValueError("this SiamRPN has no criterion to be trained with")
        batch = training_batch(
            clips, (self.template_size, self.search_size), self._context_sides, self._crop, self.device
        )
        logits, codes = self.search(self.embed_template(batch.templates), batch.searches)
        anchors, _ = self.priors(logits.shape[1], logits.device)
        return self.criterion(logits, codes, anchors, batch.boxes, batch.positive)


def is_first(state: SiamRPNState) -> bool:
    """The objects have templates, and have not been followed yet."""
    return state.targets is not None and bool(state.targets.scores.isnan().any())


def check_frame(frame: Frame, video: str) -> None:
    """The frame is a picture that can be looked at.

    Raises:
        ValueError: naming video and frame: another shape or type, or values that are not finite.
    """
    image = frame.image
    if not isinstance(image, Tensor) or image.ndim != 3 or image.shape[0] != 3 or 0 in image.shape:
        got = f"a tensor {tuple(image.shape)}" if isinstance(image, Tensor) else type(image).__name__
        raise ValueError(f"{video}, frame {frame.index}: expected an RGB tensor (3, H, W), got {got}")
    if image.dtype != torch.uint8 and not image.is_floating_point():
        raise ValueError(f"{video}, frame {frame.index}: expected uint8 or floats from 0 to 255, got {image.dtype}")
    if image.is_floating_point() and not torch.isfinite(image).all():
        raise ValueError(f"{video}, frame {frame.index}: there are pixels that are not finite")


def check_prompt(boxes: Tensor, frame: Frame, video: str) -> None:
    """Every box shares some area with the frame, and is not larger than any picture.

    Raises:
        ValueError: naming the video and the box.
    """
    height, width = frame.size
    outside = (boxes[:, 0] >= width) | (boxes[:, 1] >= height) | (boxes[:, 2] <= 0) | (boxes[:, 3] <= 0)
    for wrong, text in ((outside, "lies outside of"), (boxes.abs().amax(1) > LARGEST, "is too large for")):
        if wrong.any():
            row = int(wrong.nonzero()[0])
            raise ValueError(
                f"{video}: prompt: box {row} {boxes[row].tolist()} {text} frame {frame.index}, {width}x{height} pixels"
            )


def _cover(length: int, reach: float, device: torch.device) -> Tensor:
    """Centres of windows reaching `reach` to both sides that cover 0..length, neighbours at most `reach` apart."""
    if length <= 2 * reach:
        return torch.tensor([length / 2], device=device)
    steps = int(-(-(length - 2 * reach) // reach)) + 1
    return torch.linspace(reach, length - reach, steps, device=device)
