"""Compensation of camera motion for any tracker, as BoT-SORT has it built in (Aharon et al. 2022, section 3.2)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ..structures import Frame, Instances
from .camera_motion import CameraMotion, CameraMotionState
from .track_arrays import DetectionArrays
from .tracking import Tracker, TrackerState, check_dt


@dataclass(slots=True)
class CompensatedState(TrackerState):
    """The state of the inner tracker, and what is remembered of the previous picture."""

    inner: Any = None
    camera: CameraMotionState = field(default_factory=CameraMotionState)


class Compensated(Tracker):
    """Any tracker, its tracks moved along with the camera before each update.

    Without the frame, the camera is taken to stand still.

    Args:
        tracker: gives the identities.
        camera: estimates the camera's motion from the frames.
    """

    def __init__(self, tracker: Tracker, camera: CameraMotion) -> None:
        self.tracker, self.camera = tracker, camera

    def init_state(self) -> CompensatedState:
        return CompensatedState(inner=self.tracker.init_state(), camera=self.camera.init_state())

    def update(
        self, detections: Instances, state: CompensatedState, *, frame: Frame | None = None, dt: float = 1.0
    ) -> Instances:
        found = DetectionArrays.read(detections, state.updates)  # what is wrong with them is told before tracks move
        check_dt(dt)
        inner = state.inner
        if frame is not None:
            self.tracker.warp(inner, self.camera.estimate(frame, state.camera, found.boxes))
        inner.next_id, inner.trace = state.next_id, state.trace
        out = self.tracker.update(detections, inner, frame=frame, dt=dt)
        state.next_id, state.updates = inner.next_id, state.updates + 1
        return out

    def alive(self, state: CompensatedState) -> Instances:
        return self.tracker.alive(state.inner)

    def warp(self, state: CompensatedState, warp: Any) -> None:
        self.tracker.warp(state.inner, warp)
