"""Cascade R-CNN (https://arxiv.org/abs/1712.00726): each stage refines the regions for the next, stricter one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ...structures import ImageList, Instances
from ..box_coders import DeltaCoder
from .box_head import BoxHead, BoxOutputs, codes_of_labels
from .criterion import BoxCriterion
from .extractor import RoIExtractor, boxes_of
from .mask import MaskBranch
from .postprocess import BoxPostprocessor
from .sampling import RegionSampler, SampledRegions


@dataclass(frozen=True)
class CascadeStage:
    """What differs between the stages beside their networks."""

    coder: DeltaCoder
    sampler: RegionSampler
    criterion: BoxCriterion
    loss_weight: float = 1.0


class CascadeRoIHead(nn.Module):
    """A sequence of box heads; scores are those of the mean logits, boxes those of the last one."""

    def __init__(
        self,
        *,
        extractor: RoIExtractor,
        box_heads: Sequence[BoxHead],
        stages: Sequence[CascadeStage],
        postprocessor: BoxPostprocessor,
        mask: MaskBranch | None = None,
    ) -> None:
        super().__init__()
        if len(box_heads) != len(stages):
            raise ValueError(f"{len(box_heads)} box heads but {len(stages)} stages")
        self.extractor, self.stages, self.postprocessor, self.mask = extractor, list(stages), postprocessor, mask
        self.box_heads = nn.ModuleList(box_heads)

    def roi_features(self, features: Sequence[Tensor], regions: Sequence[Instances]) -> Tensor:
        """What a box head takes, (P, D, S, S), of all images' regions in order."""
        return self.extractor(features, boxes_of(regions))

    def detect(self, features: Sequence[Tensor], images: ImageList, proposals: Sequence[Instances]) -> list[Instances]:
        """The detections of each image among its proposals, in pixels of the original picture."""
        detections = self.detect_boxes(features, images, proposals)
        return detections if self.mask is None else self.mask.detect(features, images, detections)

    def detect_boxes(
        self, features: Sequence[Tensor], images: ImageList, proposals: Sequence[Instances]
    ) -> list[Instances]:
        """As `detect`, without masks."""
        boxes, logits, last = boxes_of(proposals), [], len(self.stages) - 1
        for i, (head, stage) in enumerate(zip(self.box_heads, self.stages)):
            outputs: BoxOutputs = head(self.extractor(features, boxes))
            logits.append(outputs.logits)
            if i < last:
                boxes = refine(outputs, boxes, images, stage.coder)
        mean = BoxOutputs(torch.stack(logits).mean(0), outputs.codes)
        return self.postprocessor(mean, boxes, images, self.stages[-1].coder)

    def loss(
        self,
        features: Sequence[Tensor],
        images: ImageList,
        proposals: Sequence[Instances],
        targets: Sequence[Instances],
    ) -> dict[str, Tensor]:
        losses: dict[str, Tensor] = {}
        for i, (head, stage) in enumerate(zip(self.box_heads, self.stages)):
            sampled = [stage.sampler(p, t, head.classes) for p, t in zip(proposals, targets)]  # type: ignore[arg-type]
            outputs: BoxOutputs = head(self.extractor(features, [part.boxes for part in sampled]))
            parts = stage.criterion(outputs, sampled, stage.coder)
            if self.mask is not None:
                parts |= self.mask.loss(features, sampled, targets, i)
            losses |= {f"stage{i}.{name}": value * stage.loss_weight for name, value in parts.items()}
            if i + 1 < len(self.stages):
                proposals = next_proposals(outputs, sampled, images, stage.coder)
        return losses


def refine(outputs: BoxOutputs, boxes: Sequence[Tensor], images: ImageList, coder: DeltaCoder) -> list[Tensor]:
    """The regions moved to where their best class says they are."""
    codes = codes_of_labels(outputs.codes, outputs.logits[:, :-1].argmax(1))
    parts = codes.split([len(part) for part in boxes])
    return [coder.decode(part, parts[i], images.sizes[i]) for i, part in enumerate(boxes)]


@torch.no_grad()
def next_proposals(
    outputs: BoxOutputs, sampled: Sequence[SampledRegions], images: ImageList, coder: DeltaCoder
) -> list[Instances]:
    """The sampled regions, refined, without the targets' own boxes, for the next stage to learn from."""
    boxes = refine(outputs, [part.boxes for part in sampled], images, coder)
    return [Instances(boxes=box[~part.is_target]) for box, part in zip(boxes, sampled)]
