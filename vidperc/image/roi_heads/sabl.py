"""SABL in the second stage (https://arxiv.org/abs/1912.04260, section 3): regions' sides, each from its features."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...layers.conv import ConvNorm
from ...structures import ImageList, Instances
from ..bucket_coder import BucketCoder
from ..heads.sabl import bucket_losses
from ..losses import cross_entropy
from ..postprocess import multiclass_nms
from .box_head import BoxOutputs
from .postprocess import BoxPostprocessor
from .sampling import SampledRegions


class SABLHead(nn.Module):
    """Classes from one hidden layer; buckets and offsets of the sides from rows and columns of the features.

    Codes of the outputs are (P, 4, 2 * S), as a `BucketCoder` takes them; S is `roi_size` here.

    Args:
        in_channels, roi_size: of the regions' features.
        classes: C, without background.
        hidden: width of the hidden layer.
    """

    def __init__(self, in_channels: int = 256, *, classes: int = 80, roi_size: int = 7, hidden: int = 1024) -> None:
        super().__init__()
        self.classes, self.roi_size = classes, roi_size
        self.cls_fcs = nn.ModuleList([nn.Linear(in_channels * roi_size**2, hidden)])
        self.fc_cls = nn.Linear(hidden, classes + 1)
        self.reg_pre_convs = nn.ModuleList(ConvNorm(in_channels, in_channels, 3, padding=1) for _ in range(2))
        self.reg_conv_att_x = nn.Conv2d(in_channels, 1, 1)
        self.reg_conv_att_y = nn.Conv2d(in_channels, 1, 1)
        self.reg_post_conv_xs = nn.ModuleList([ConvNorm(in_channels, in_channels, (1, 3), padding=(0, 1))])
        self.reg_post_conv_ys = nn.ModuleList([ConvNorm(in_channels, in_channels, (3, 1), padding=(1, 0))])
        self.upsample_x = nn.ConvTranspose1d(in_channels, in_channels, 2, 2)
        self.upsample_y = nn.ConvTranspose1d(in_channels, in_channels, 2, 2)
        self.fc_reg_cls = nn.Linear(in_channels, 1)
        self.fc_reg_offset = nn.Linear(in_channels, 1)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """The weights that training begins with."""
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.ConvTranspose1d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            if isinstance(module, nn.Conv2d | nn.ConvTranspose1d | nn.Linear):
                nn.init.zeros_(module.bias)  # type: ignore[arg-type]
        nn.init.xavier_uniform_(self.cls_fcs[0].weight)  # type: ignore[arg-type]
        for layer in (self.fc_cls, self.fc_reg_cls, self.reg_conv_att_x, self.reg_conv_att_y):
            nn.init.normal_(layer.weight, std=0.01)
        nn.init.normal_(self.fc_reg_offset.weight, std=0.001)

    def forward(self, regions: Tensor) -> BoxOutputs:
        """The outputs of regions (P, D, S, S)."""
        hidden = F.relu(self.cls_fcs[0](regions.flatten(1)), inplace=True)
        for conv in self.reg_pre_convs:
            regions = conv(regions)
        along_x, along_y = self.pooled(regions)
        codes = torch.cat((self.sides(along_x), self.sides(along_y)), dim=1)
        return BoxOutputs(self.fc_cls(hidden).float(), codes.float())

    def pooled(self, regions: Tensor) -> tuple[Tensor, Tensor]:
        """Features (P, 2 S, D) along x and y, the other direction averaged by where the network looks."""
        look_x, look_y = self.reg_conv_att_x(regions).sigmoid(), self.reg_conv_att_y(regions).sigmoid()
        along_x = (regions * (look_x / look_x.sum(2, keepdim=True))).sum(2, keepdim=True)  # (P, D, 1, S)
        along_y = (regions * (look_y / look_y.sum(3, keepdim=True))).sum(3, keepdim=True)  # (P, D, S, 1)
        along_x, along_y = self.reg_post_conv_xs[0](along_x)[:, :, 0], self.reg_post_conv_ys[0](along_y)[..., 0]
        up_x, up_y = F.relu(self.upsample_x(along_x)), F.relu(self.upsample_y(along_y))
        return up_x.transpose(1, 2), up_y.transpose(1, 2)

    def sides(self, line: Tensor) -> Tensor:
        """Codes (P, 2, 2 * S) of the two sides from features (P, 2 S, D) along their direction."""
        parts = []
        for layer in (self.fc_reg_cls, self.fc_reg_offset):
            low, high = layer(line)[..., 0].chunk(2, dim=1)
            parts.append(torch.stack((low, high.flip(1)), dim=1))  # from the sides inwards
        return torch.cat(parts, dim=2)


@dataclass(frozen=True)
class SABLBoxCriterion:
    """Cross entropy of all sampled regions and, of the positive ones, of the buckets; smooth L1 of the offsets.

    All are over the number sampled, that of the buckets over its sides.
    """

    beta: float = 0.1  # turning point of smooth L1

    def __call__(self, outputs: BoxOutputs, sampled: Sequence[SampledRegions], coder: BucketCoder) -> dict[str, Tensor]:
        labels = torch.cat([part.labels for part in sampled])  # (S,)
        count = max(len(labels), 1)
        positive = labels < outputs.logits.shape[1] - 1
        boxes = torch.cat([part.boxes for part in sampled])[positive]
        targets = torch.cat([part.target_boxes for part in sampled])
        buckets, offsets = bucket_losses(outputs.codes[positive], coder, boxes, targets, self.beta)
        return {
            "loss_class": cross_entropy(outputs.logits, labels).sum() / count,
            "loss_bucket": buckets / (4 * count),
            "loss_offset": offsets / count,
        }


@dataclass(frozen=True)
class SABLBoxPostprocessor(BoxPostprocessor):
    """As `BoxPostprocessor`; scores are multiplied with how sure the sides of the box are."""

    def __call__(  # type: ignore[override]
        self, outputs: BoxOutputs, boxes: Sequence[Tensor], images: ImageList, coder: BucketCoder
    ) -> list[Instances]:
        counts = [len(part) for part in boxes]
        scores, sure = outputs.logits.softmax(-1)[:, :-1].split(counts), coder.confidence(outputs.codes).split(counts)
        codes = outputs.codes.split(counts)
        return [
            multiclass_nms(
                self.decode(boxes[i], codes[i], images, i, coder),  # type: ignore[arg-type]
                scores[i],
                score_threshold=self.score_threshold,
                iou_threshold=self.iou_threshold,
                max_detections=self.max_detections,
                factors=sure[i],
            )
            for i in range(len(images))
        ]
