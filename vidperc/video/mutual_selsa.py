"""SELSA trained on all frames of a clip at once, each the others' reference."""

from __future__ import annotations

import torch
from torch import Tensor

from ..image.detector import require_instances
from ..image.roi_heads.box_head import BoxOutputs
from ..structures import Clip
from .selsa import SELSA, join, split


class MutualSELSA(SELSA):
    """SELSA whose every frame through the backbone teaches it.

    The published training learns from one frame of a clip and uses the others only as its references. Here all
    frames of a clip learn, and the regions sampled for learning are also what a frame offers to the others.
    """

    def forward(self, clips: list[Clip]) -> dict[str, Tensor]:
        """Losses on all frames of the clips, their regions looking at those of the clip's other frames.

        Raises:
            ValueError: a clip of one frame, or a frame without truth.
        """
        for clip in clips:
            if len(clip) < 2:
                raise ValueError(f"SELSA trains on clips of a frame and others, '{clip.video}' has one frame")
        frames = [frame for clip in clips for frame in clip.frames]
        images = self.detector.preprocessor.batch([frame.array for frame in frames], self.device)
        targets = [require_instances(frame).to(self.device) for frame in frames]
        features, head = self.detector.extract_features(images), self.roi_head
        if self.detector.rpn is None:
            raise ValueError("SELSA trains a detector that proposes its own regions")
        losses, proposals = self.detector.rpn.loss(features, images, targets)
        sampled = [head.sampler(p, t, self.box_head.classes) for p, t in zip(proposals, targets, strict=True)]
        counts = [len(part.boxes) for part in sampled]
        regions = head.extractor(features, [part.boxes for part in sampled])
        own, offers = regions.split(counts), split(self.box_head.offer(regions), counts)
        outputs, start = [], 0
        for clip in clips:
            rows = range(start, start + len(clip))
            start += len(clip)
            outputs += [self.box_head.attend(own[row], join([offers[o] for o in rows if o != row])) for row in rows]
        together = BoxOutputs(*(torch.cat(column) for column in zip(*outputs, strict=True)))
        return losses | head.criterion(together, sampled, head.coder)
