"""SeqFormer (https://arxiv.org/abs/2112.08275): video instance segmentation by queries over a whole clip."""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from ..image.preprocess import as_rgb_array
from ..image.preprocess_pillow import PillowPreprocessor
from ..layers.deformable_transformer import DeformableEncoder, flatten_levels, valid_ratios
from ..layers.positional_encoding import SinePositionalEncoding
from ..sequence import SequenceModel
from ..structures import Clip, Frame, ImageList, Instances, Video
from .clip_matching import ClipMatching
from .seqformer_criterion import SeqFormerCriterion, VideoOutputs, video_targets
from .seqformer_decoder import BoxHead, DecodedLayer, EncodedFrames, SeqFormerDecoder
from .seqformer_masks import ChooseRows, MaskBranch, dynamic_masks, every_class, parameters_per_mask
from .whole_video import WholeVideo

LEVELS_OF_MASKS = 3


@dataclass(frozen=True, slots=True)
class Geometry:
    """What of a padded batch does not depend on its pixels."""

    shapes: list[tuple[int, int]]
    position: Tensor  # (B, S, C) where a pixel is, and on which level
    valid: Tensor  # (B, L, 2)
    padding: Tensor | None  # (B, S)

    def repeated(self, count: int) -> Geometry:
        """That of one frame for `count` frames of its size."""
        padding = None if self.padding is None else self.padding.expand(count, -1)
        return Geometry(self.shapes, self.position, self.valid.expand(count, -1, -1), padding)


class SeqFormer(SequenceModel):
    """Backbone and encoder frame by frame, a decoder over all frames of a clip, a mask network per query.

    Args:
        backbone: gives maps of strides 8, 16 and 32, their widths in `out_channels`.
        encoder, decoder: of `channels` channels and one level more than the backbone gives.
        criterion: the training losses.
        num_classes, num_queries: as published 40 and 300.
        score_threshold, rows: an object's classes scored above it are the results; `rows` is `every_class` of them,
            as published, or the `best_class`.
        top_k: how many queries of a video, or of each clip, are kept.
        clip_length: frames of a clip; results come with a delay of one clip. None decodes the whole video
            at once when it has ended, the published default.
        clip_stride: frames from one clip to the next.
        max_tracks: of a video that is matched clip by clip, as published; None for a video without end, which would
            soon have had so many.
        max_memory: bytes that the encoded frames of a whole video may take; more goes to a temporary file.
    """

    def __init__(
        self,
        *,
        preprocessor: PillowPreprocessor,
        backbone: nn.Module,
        encoder: DeformableEncoder,
        decoder: SeqFormerDecoder,
        criterion: SeqFormerCriterion,
        num_classes: int = 40,
        num_queries: int = 300,
        channels: int = 256,
        score_threshold: float = 0.05,
        rows: ChooseRows = every_class,
        top_k: int = 10,
        clip_length: int | None = None,
        clip_stride: int = 1,
        max_tracks: int | None = 120,
        max_memory: float = 4e9,
    ) -> None:
        super().__init__()
        self.preprocessor, self.backbone, self.encoder, self.decoder = preprocessor, backbone, encoder, decoder
        self.criterion, self.num_classes, self.max_tracks = criterion, num_classes, max_tracks
        self.score_threshold, self.rows, self.top_k, self.max_memory = score_threshold, rows, top_k, max_memory
        self.encode_position = SinePositionalEncoding(channels // 2, offset=-0.5)
        widths = list(backbone.out_channels)  # type: ignore[arg-type]
        self.input_proj = nn.ModuleList(
            nn.Sequential(nn.Conv2d(width, channels, 1), nn.GroupNorm(32, channels)) for width in widths
        )
        coarsest = nn.Conv2d(widths[-1], channels, 3, stride=2, padding=1)
        self.input_proj.append(nn.Sequential(coarsest, nn.GroupNorm(32, channels)))
        self.level_embed = nn.Parameter(torch.randn(len(self.input_proj), channels))
        self.query_embed = nn.Embedding(num_queries, 2 * channels)
        self.reference_points = nn.Linear(channels, 2)
        layers = len(decoder.layers)
        self.class_embed = nn.ModuleList(nn.Linear(channels, num_classes) for _ in range(layers))
        self.controller = BoxHead(channels, channels, parameters_per_mask())
        self.mask_head = MaskBranch(channels)
        self._initialise()
        self.mode = WholeVideo() if clip_length is None else ClipMatching(clip_length, clip_stride)
        self.lookahead = sys.maxsize if clip_length is None else self.mode.lookahead

    def _initialise(self) -> None:
        for name, parameter in self.named_parameters():
            if re.match(r"(input_proj\.\d+\.0|controller\.layers\.\d+|reference_points)\.weight", name):
                nn.init.xavier_uniform_(parameter)
            elif re.match(r"(input_proj\.\d+\.0|controller\.layers\.\d+|reference_points)\.bias", name):
                nn.init.zeros_(parameter)
            elif re.match(r"class_embed\.\d+\.bias", name):
                nn.init.constant_(parameter, -math.log(99.0))  # every class starts at a score of 0.01
        for index, (_, head) in enumerate(self.decoder.stages()):
            nn.init.zeros_(head.last.weight)
            nn.init.zeros_(head.last.bias)
            if index == 0:
                nn.init.constant_(head.last.bias[2:], -2.0)  # boxes start small

    # -- the network ---------------------------------------------------------------------------------

    def geometry(self, sizes: Sequence[tuple[int, int]], padded: tuple[int, int]) -> Geometry:
        """Of a batch of images of `sizes` in a tensor of the `padded` size."""
        shapes = level_shapes(padded, len(self.input_proj))
        outside = torch.ones(len(sizes), *padded, device=self.device)
        for row, (height, width) in zip(outside, sizes):
            row[:height, :width] = 0
        paddings = [interpolate(outside[:, None], size=shape)[:, 0].bool() for shape in shapes]
        positions = [self.encode_position(padding) + embed[:, None, None] for padding, embed in self._levels(paddings)]
        padding = torch.cat([level.flatten(1) for level in paddings], dim=1)
        valid = valid_ratios(paddings)
        return Geometry(shapes, flatten_levels(positions), valid, padding if bool(padding.any()) else None)

    def _levels(self, paddings: list[Tensor]) -> Iterator[tuple[Tensor, Tensor]]:
        return zip(paddings, self.level_embed.float())

    def encode(self, images: Tensor, geometry: Geometry, size: tuple[int, int]) -> EncodedFrames:
        """Backbone and encoder on frames (B, 3, H, W), which see nothing of each other."""
        memory = self.encode_maps(self.project(self.backbone(images)), geometry)
        features = self.mask_features(memory, geometry)
        return EncodedFrames(memory, features, geometry.shapes, geometry.valid, geometry.padding, size)

    def project(self, maps: Sequence[Tensor]) -> Tensor:
        """The backbone's maps and one coarser, of equal width, as one sequence (B, S, C)."""
        return flatten_levels([project(x) for project, x in zip(self.input_proj, [*maps, maps[-1]])])

    def encode_maps(self, maps: Tensor, geometry: Geometry) -> Tensor:
        """The encoder's memory, (B, S, C) to (B, S, C)."""
        return self.encoder(maps, geometry.position, geometry.shapes, geometry.valid, geometry.padding)

    def mask_features(self, memory: Tensor, geometry: Geometry) -> Tensor:
        """(B, 8, H / 8, W / 8)"""
        return self.mask_head(unflatten_levels(memory, geometry.shapes[:LEVELS_OF_MASKS]))

    def queries(self) -> tuple[Tensor, Tensor, Tensor]:
        """Content and position of the queries (Q, C), and their first reference points (Q, 2)."""
        position, content = self.query_embed.weight.chunk(2, dim=1)
        return content, position, self.reference_points(position).float().sigmoid()

    def masks(
        self, layer: DecodedLayer, video: int, queries: Tensor, features: Tensor, size: tuple[int, int]
    ) -> Tensor:
        """Mask logits (N, T, H / 4, W / 4) of some `queries` of a video from its mask features (T, 8, H / 8, W / 8)."""
        parameters = self.controller(layer.instances[video, queries])
        return dynamic_masks(parameters, features, layer.references[video, :, queries], size)

    # -- training ------------------------------------------------------------------------------------

    def forward(self, clips: list[Clip]) -> dict[str, Tensor]:
        """The weighted losses of clips of equal length; the total is their sum.

        Raises:
            ValueError: clips of different lengths, or frames of different sizes in a clip.
        """
        arrays = [as_rgb_array(frame.image) for clip in clips for frame in clip.frames]
        if len({len(clip) for clip in clips}) != 1:
            raise ValueError(f"clips must have one length, got {[len(clip) for clip in clips]}")
        images = self.preprocessor.batch(arrays, self.device)
        targets = [video_targets(clip, images.padded_size).to(self.device) for clip in clips]
        outputs, features = self.decode_clips(images, len(clips[0]))
        return self.criterion(outputs, targets, lambda layer, video, queries: self.masks(
            outputs[layer].decoded, video, queries, features[video], targets[video].size
        ))  # fmt: skip

    def decode_clips(self, images: ImageList, length: int) -> tuple[list[VideoOutputs], Tensor]:
        """Outputs of every decoder layer for clips of `length` frames, and the mask features (B, T, 8, ...)."""
        geometry = self.geometry(images.sizes, images.padded_size)
        frames = self.encode(images.tensor, geometry, images.padded_size)
        decoded = self.decoder(*self.queries(), frames, length)
        outputs = [VideoOutputs(head(layer.instances), layer) for head, layer in zip(self.class_embed, decoded)]
        return outputs, frames.mask_features.unflatten(0, (-1, length))

    # -- streaming -----------------------------------------------------------------------------------

    def init_state(self, video: Video | None = None) -> Any:
        return self.mode.init_state(self)

    def step(self, frame: Frame, state: Any) -> Instances | None:
        return self.mode.step(self, frame, state)

    def finish(self, state: Any) -> Sequence[Instances]:  # type: ignore[override]
        return self.mode.finish(self, state)

    def segment(self, video: Video) -> Sequence[Instances]:
        """The objects of every frame of a video that ends, with the scores known when it has ended.

        Masks are made or unpacked as a frame is asked for. In clip mode `stream` gives the same but for the scores,
        which it cannot know yet: they are the mean over the clips so far.
        """
        return self.mode.segment(self, video)

    def encode_frame(
        self, frame: Frame, first: EncodedFrames | None, geometry: Geometry | None
    ) -> tuple[EncodedFrames, Geometry]:
        """A frame at the network size of the video's first one, so that a video may change its size."""
        array = as_rgb_array(frame.image, f"frame {frame.index}")
        size = self.preprocessor.target_size(*array.shape[:2]) if first is None else first.size
        images = self.preprocessor.batch([self.preprocessor.resize_to(array, size)], self.device)
        geometry = geometry or self.geometry(images.sizes, images.padded_size)
        return self.encode(images.tensor, geometry, size), geometry

    def stream_frames(self, video: Video) -> Iterator[tuple[Frame, Instances]]:
        """As `stream`, each prediction beside its frame; a whole video that is not live is read a second time."""
        if isinstance(self.mode, ClipMatching) or video.is_live:
            yield from super().stream_frames(video)
        else:
            yield from zip(video, self.stream(video))

    def stream(self, video: Video) -> Iterator[Instances]:
        with self.inference():
            state = self.init_state(video)
        for frame in video:
            with self.inference():
                instances = self.step(frame, state)
            if instances is not None:
                yield instances
        with self.inference():
            rest = self.finish(state)
        yield from rest


def level_shapes(padded: tuple[int, int], levels: int) -> list[tuple[int, int]]:
    """(height, width) of the maps of strides 8, 16, ..., each half of the one before, rounded up."""
    shapes = [(-(-padded[0] // 8), -(-padded[1] // 8))]
    for _ in range(levels - 1):
        shapes.append((-(-shapes[-1][0] // 2), -(-shapes[-1][1] // 2)))
    return shapes


def unflatten_levels(memory: Tensor, shapes: Sequence[tuple[int, int]]) -> list[Tensor]:
    """The first levels of a sequence (B, S, C) as maps (B, C, H, W), in channels_last memory."""
    parts = memory[:, : sum(h * w for h, w in shapes)].split([h * w for h, w in shapes], dim=1)
    return [part.unflatten(1, shape).permute(0, 3, 1, 2) for part, shape in zip(parts, shapes)]
