"""Tracktor as a sequence model: a two-stage detector, the tracks, and optionally appearance and camera motion."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..image.preprocess import Preprocessor
from ..image.roi_heads.box_head import codes_of_labels
from ..image.roi_heads.roi_head import RoIHead
from ..image.two_stage import RCNN, scale_factors
from ..sequence import SequenceModel
from ..structures import Frame, ImageList, Instances, Video
from .association import Floats, Ints
from .camera_motion import STILL, CameraMotion, CameraMotionState, ECCMotion
from .public_detector import judge
from .tracking import Embedder, restore_indices, rows_of_labels
from .tracktor import TracktorTracker, TracktorTrackerState


@dataclass(slots=True)
class TracktorState:
    """State of `Tracktor`: its tracks and what its camera motion remembers."""

    tracks: TracktorTrackerState
    camera: CameraMotionState


class Tracktor(SequenceModel):
    """Tracktor, with `reid` and `camera` Tracktor++ (Bergmann et al. 2019).

    Args:
        detector: finds new objects and, by its second stage, moves the tracks onto theirs.
        tracker: the rules.
        reid: revives lost tracks by appearance.
        camera: moves the tracks along with the camera before they are regressed; the paper's is ECC.
        labels: the classes to track; all where None.
    """

    def __init__(
        self,
        *,
        detector: RCNN,
        tracker: TracktorTracker,
        reid: Embedder | None = None,
        camera: CameraMotion | None = None,
        labels: Sequence[int] | None = None,
    ) -> None:
        super().__init__()
        if not isinstance(detector.roi_head, RoIHead):
            raise TypeError(f"Tracktor needs a detector of one second stage, got {type(detector.roi_head).__name__}")
        self.detector, self.tracker, self.reid, self.camera = detector, tracker, reid, camera
        self.labels = None if labels is None else tuple(labels)

    def init_state(self, video: Video | None = None) -> TracktorState:
        return TracktorState(self.tracker.init_state(), CameraMotionState())

    def step(self, frame: Frame, state: TracktorState) -> Instances:
        return self.step_batch([frame], [state])[0]

    def step_batch(self, frames: Sequence[Frame], states: Sequence[TracktorState]) -> list[Instances]:
        images = self.detector.preprocessor([frame.image for frame in frames], self.device)
        features = self.detector.extract_features(images)
        found = self.find(features, images, frames)
        out = []
        for i, (frame, detections, state) in enumerate(zip(frames, found, states, strict=True)):
            if self.camera is not None:
                self.tracker.warp(state.tracks, self.camera.estimate(frame, state.camera))
            rows = rows_of_labels(detections, self.labels)
            networks = DetectorNetworks(self.detector, features, images, i, frame, self.reid)
            tracks = self.tracker.update(detections if rows is None else detections[rows], state.tracks, networks)
            out.append(restore_indices(tracks, rows))
        return out

    def find(self, features: list[Tensor], images: ImageList, frames: Sequence[Frame]) -> list[Instances]:
        """The detections of the frames, from which tracks start."""
        return self.detector.detect(features, images)


class UnscaledECCMotion(ECCMotion):
    """Camera motion as MMTracking's Tracktor has it: estimated in the picture that the detector sees, padding and all.

    The shift stays in pixels of that picture though boxes are moved in the frame's, so they move too far or not far
    enough. This one is for reproducing that zoo; `ECCMotion` is the paper's.

    Args:
        preprocessor: the detector's.
        model, iterations, precision: as of `ECCMotion`.
    """

    def __init__(
        self,
        preprocessor: Preprocessor,
        model: Literal["translation", "euclidean", "affine"] = "euclidean",
        iterations: int = 100,
        precision: float = 1e-5,
    ) -> None:
        super().__init__(1.0, model, iterations, precision)
        self.preprocessor = preprocessor

    def estimate(self, frame: Frame, state: CameraMotionState, ignored: Floats | None = None) -> Floats:
        pixels = self.preprocessor([frame.image]).tensor[0].permute(1, 2, 0).contiguous().numpy()
        gray = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)  # float, which the estimate takes as it is
        before, state.gray = state.gray, gray
        if before is None or before.shape != gray.shape:
            return STILL.copy()
        warp = self._estimate(before, gray, gray)
        return STILL.copy() if warp is None or not np.isfinite(warp).all() else warp.astype(np.float64)


class PublicTracktor(Tracktor):
    """Tracktor on public detections: the detector's second stage judges `frame.detections` instead of proposals."""

    def find(self, features: list[Tensor], images: ImageList, frames: Sequence[Frame]) -> list[Instances]:
        return judge(self.detector, features, images, frames)


class DetectorNetworks:
    """`FrameNetworks` of one image of a batch whose features are there already."""

    def __init__(
        self,
        detector: RCNN,
        features: list[Tensor],
        images: ImageList,
        image: int,
        frame: Frame,
        reid: Embedder | None,
    ) -> None:
        self.detector, self.features, self.images, self.image = detector, features, images, image
        self.frame, self.reid = frame, reid

    def regress(self, boxes: Floats, labels: Ints) -> tuple[NDArray, NDArray]:
        """Boxes (N, 4) refined, of the classes that the tracks have, and their scores (N,)."""
        device = self.features[0].device
        head = self.detector.roi_head
        assert isinstance(head, RoIHead)
        regions = self._regions(boxes, device)
        outputs = head.box_head(head.roi_features(self.features, regions))
        classes = torch.from_numpy(labels).to(device)
        codes = codes_of_labels(outputs.codes, classes)
        refined = head.postprocessor.decode(regions[self.image].boxes, codes, self.images, self.image, head.coder)
        scores = outputs.logits.softmax(-1).gather(1, classes[:, None])[:, 0]
        return refined.double().cpu().numpy(), scores.double().cpu().numpy()

    def embed(self, boxes: Floats) -> NDArray | None:
        """The appearances (N, D) of boxes, None without a re-identification network."""
        if self.reid is None:
            return None
        detections = Instances(boxes=torch.from_numpy(boxes.astype(np.float32)))
        return self.reid.embed([self.frame], [detections])[0].double().cpu().numpy()

    def _regions(self, boxes: Floats, device: torch.device) -> list[Instances]:
        """The boxes as this image's regions in pixels of the batch, none for the other images."""
        regions = [Instances(boxes=torch.zeros(0, 4, device=device)) for _ in range(len(self.images))]
        own = torch.from_numpy(boxes.astype(np.float32)).to(device)
        regions[self.image] = Instances(boxes=own * scale_factors(self.images, device)[self.image])
        return regions
