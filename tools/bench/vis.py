"""Speed of SeqFormer on a whole video, stage by stage, and of deformable attention beside its plain formula.

The video is noise that moves; its time is that of `segment`, uint8 frames in and the objects of all frames out,
masks included. `plain_ms` is the formula as it is written down (https://arxiv.org/abs/2010.04159, eq. 3): sample
each level with `grid_sample`, stack the levels, weigh and sum.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import grid_sample

import vidperc
from vidperc.ops.ms_deform_attn import Shapes, ms_deform_attn
from vidperc.sequence import Precision
from vidperc.structures import Frame, Video
from vidperc.video.seqformer import SeqFormer
from vidperc.video.seqformer_masks import best_class, dynamic_masks, masks_at

from ._timing import least_ms


def measure(
    name: str = "seqformer_r50_ytvis2019",
    frames: int = 8,
    size: tuple[int, int] = (360, 640),
    repeats: int = 3,
    precisions: tuple[Precision, ...] = ("fp32", "bf16"),
    stages: bool = True,
    device: str = "cpu",
) -> list[dict[str, Any]]:
    """A row per precision: milliseconds per frame, the least of the repeats; then the deformable attention's.

    `name` is a model of the zoo, untrained where it does not ship; all `top_k` queries have a result in every frame.
    """
    rng = np.random.default_rng(0)
    texture = rng.integers(0, 256, (size[0] + 8 * frames, size[1] + 8 * frames, 3), dtype=np.uint8)
    pictures = [texture[8 * t : 8 * t + size[0], 8 * t : 8 * t + size[1]].copy() for t in range(frames)]
    rows: list[dict[str, Any]] = []
    for precision in precisions:
        torch.manual_seed(0)
        model = vidperc.load(
            name, precision=precision, device=device, score_threshold=0.0, rows=best_class, clip_length=None
        )
        assert isinstance(model, SeqFormer)

        def whole(model: SeqFormer = model) -> list[object]:
            return list(model.segment(Video.from_frames(pictures)))

        row = {"what": "whole video", "precision": precision, "ms": least_ms([whole], repeats)[0] / frames}
        rows.append(row | (_stages(model, pictures, repeats) if stages else {}))
    return rows + ([_attention(size, repeats * 3)] if stages else [])


def _stages(model: SeqFormer, pictures: list[np.ndarray], repeats: int) -> dict[str, float]:
    """Milliseconds per frame of each part, on inputs that are there already."""
    count = len(pictures)
    with model.inference():
        encoded, geometry = model.encode_frame(Frame.from_array(pictures[0]), None, None)
        images = model.preprocessor.batch([pictures[0]], model.device).tensor
        maps = model.backbone(images)
        projected = model.project(maps)
        frames = encoded.cat([encoded] * count)
        decoded = model.decoder.decode_long(*model.queries(), lambda: [frames])
        parameters = model.controller(decoded.instances[0, : model.top_k])
        centres = decoded.references[0, :1, : model.top_k]

        def decode() -> None:
            model.decoder.decode_long(*model.queries(), lambda: [frames])

        def masks() -> None:
            logits = dynamic_masks(parameters, encoded.mask_features, centres, encoded.size)
            masks_at(logits[:, 0], encoded.size, pictures[0].shape[:2])

        parts = {
            "backbone": lambda: model.backbone(images),
            "encoder": lambda: model.encode_maps(projected, geometry),
            "mask features": lambda: model.mask_features(encoded.memory, geometry),
            "decoder": decode,
            "masks": masks,
        }
        times = dict(zip(parts, least_ms(list(parts.values()), repeats)))
    times["decoder"] /= count
    return times


def _attention(size: tuple[int, int], repeats: int) -> dict[str, Any]:
    """The encoder's deformable attention on a frame of `size`, offsets of a few pixels."""
    generator = torch.Generator().manual_seed(0)
    shapes = [(-(-size[0] // stride), -(-size[1] // stride)) for stride in (8, 16, 32, 64)]
    length = sum(h * w for h, w in shapes)
    values = torch.randn(1, length, 8, 32, generator=generator)
    places = torch.cat([_centres(shape) for shape in shapes])
    scale = torch.tensor([(w, h) for h, w in shapes])
    offsets = torch.randn(1, length, 8, 4, 4, 2, generator=generator) * 2
    locations = places[None, :, None, None, None] + offsets / scale[:, None]
    weights = torch.rand(1, length, 8, 4, 4, generator=generator).flatten(-2).softmax(-1).view(1, length, 8, 4, 4)
    with torch.inference_mode():
        ours, plain = ms_deform_attn(values, shapes, locations, weights), formula(values, shapes, locations, weights)
        difference = (ours - plain).abs().max().item()
        times = least_ms(
            [
                lambda: ms_deform_attn(values, shapes, locations, weights),
                lambda: formula(values, shapes, locations, weights),
            ],
            repeats,
        )
    return {"what": "deformable attention", "precision": "fp32", "ms": times[0], "plain_ms": times[1],
            "difference": difference}  # fmt: skip


def _centres(shape: tuple[int, int]) -> Tensor:
    """Of the pixels of a map, (H * W, 2) as x, y from 0 to 1."""
    y, x = ((torch.arange(n) + 0.5) / n for n in shape)
    return torch.stack((x.expand(len(y), -1), y[:, None].expand(-1, len(x))), dim=-1).flatten(0, 1)


def formula(values: Tensor, shapes: Shapes, locations: Tensor, weights: Tensor) -> Tensor:
    """As `ms_deform_attn`, level by level."""
    batch, _, heads, channels = values.shape
    sampled = []
    for level, (part, (h, w)) in enumerate(zip(values.split([h * w for h, w in shapes], 1), shapes)):
        maps = part.flatten(2).transpose(1, 2).reshape(batch * heads, channels, h, w)
        grid = (2 * locations[:, :, :, level] - 1).transpose(1, 2).flatten(0, 1)  # (B * heads, Q, points, 2)
        sampled.append(grid_sample(maps, grid, mode="bilinear", padding_mode="zeros", align_corners=False))
    stacked = torch.stack(sampled, dim=-2).flatten(-2)  # (B * heads, D, Q, L * points)
    weighted = weights.transpose(1, 2).flatten(0, 1).flatten(2)[:, None]
    return (stacked * weighted).sum(-1).view(batch, heads * channels, -1).transpose(1, 2)
