"""The tiny video detectors' own ways to train: all frames of a clip at once, and flow from the true flow."""

from __future__ import annotations

import fiddle as fdl
import pytest
import torch

from vidperc.checkpoint import CheckpointError, begin_with, write_checkpoint
from vidperc.data.frame_samplers import KeyAndReferences
from vidperc.data.synthetic import SyntheticVideo
from vidperc.data.synthetic.flow import SyntheticFlow
from vidperc.models import get_config
from vidperc.ops.warp import warp
from vidperc.structures import Clip
from vidperc.video.flow_training import distance, warp_flow
from vidperc.video.selsa import join, split


def small(name: str):
    config = get_config(name).model
    detector = config.detector if hasattr(config, "detector") else config
    detector.backbone.base_channels, detector.neck.in_channels = 4, (32,)
    torch.manual_seed(0)
    return fdl.build(config)


def synthetic_clip(seed: int, *numbers: int) -> Clip:
    video = SyntheticVideo(seed, 40, (96, 128), "vid")
    return Clip([video.read(number) for number in numbers], 0, video.name)


class Recorder:
    """In the place of a criterion: keeps what it is given."""

    def __call__(self, outputs, sampled, coder):
        self.outputs, self.sampled = outputs, sampled
        return {"loss_class": outputs.logits.sum()}


def test_every_frame_of_a_clip_learns_from_the_others_of_its_clip_alone():
    model = small("tiny_selsa").eval()
    head, clips = model.roi_head, [synthetic_clip(1, 0, 20), synthetic_clip(2, 3, 9, 30)]
    head.criterion = recorder = Recorder()
    model(clips)
    frames = [frame for clip in clips for frame in clip.frames]
    assert len(recorder.sampled) == 5
    images = model.detector.preprocessor.batch([frame.array for frame in frames], model.device)
    regions = head.extractor(model.detector.extract_features(images), [part.boxes for part in recorder.sampled])
    counts = [len(part.boxes) for part in recorder.sampled]
    offers, own = split(model.box_head.offer(regions), counts), regions.split(counts)
    logits = recorder.outputs.logits.split(counts)
    for row, others in ((0, [1]), (1, [0]), (2, [3, 4]), (4, [2, 3])):
        expected = model.box_head.attend(own[row], join([offers[other] for other in others])).logits
        torch.testing.assert_close(logits[row], expected, atol=1e-5, rtol=1e-4)


def test_a_clip_of_one_frame_is_refused():
    with pytest.raises(ValueError, match="has one frame"):
        small("tiny_selsa")([synthetic_clip(1, 0)])


def test_the_flow_for_warp_moves_by_whole_cells():
    """A map whose content moves 16 pixels, two cells, to the right."""
    there = torch.rand(1, 3, 6, 10)
    here = torch.zeros_like(there)
    here[..., :-2] = there[..., 2:]
    pixels = torch.zeros(1, 2, 6, 10)
    pixels[:, 0] = 16
    moved = warp(there, warp_flow(pixels, (48, 80)))
    torch.testing.assert_close(moved[..., :-2], here[..., :-2], atol=1e-5, rtol=1e-5)


def test_the_distance_of_flows():
    truth = torch.zeros(2, 2, 4, 6)
    truth[:, 0], truth[:, 1] = 3, 4
    assert float(distance(torch.zeros(2, 2, 1, 2), truth)) == pytest.approx(5, abs=1e-4)
    assert float(distance(truth, truth)) == pytest.approx(0, abs=2e-3)


def test_only_the_flow_network_learns_the_flow():
    model = small("tiny_dff_flow").train()
    data = SyntheticFlow(KeyAndReferences(2, reach=5), videos=2, length=20)
    clips = [data[(number, 0)] for number in (3, 25)]
    losses = model(clips)
    assert sorted(losses) == [f"loss_flow_{level}" for level in (2, 3, 4, 5, 6)]
    sum(losses.values()).backward()
    learning = {name.split(".")[0] for name, p in model.named_parameters() if p.grad is not None and p.grad.any()}
    assert learning == {"flow"}
    optimizer = torch.optim.Adam(model.flow.parameters(), 1e-3)
    first = losses["loss_flow_2"].item()
    for _ in range(8):
        optimizer.zero_grad()
        losses = model(clips)
        sum(losses.values()).backward()
        optimizer.step()
    assert losses["loss_flow_2"].item() < 0.9 * first
    with pytest.raises(ValueError, match="without the true flow"):
        model([synthetic_clip(1, 0, 3)])


def test_a_video_model_begins_with_a_detectors_weights(tmp_path):
    detector, model = small("tiny_vid_single_frame"), small("tiny_dff")
    torch.nn.init.constant_(detector.neck.state_dict()["convs.0.conv.weight"], 0.5)
    path = write_checkpoint(tmp_path / "detector.pt", detector.state_dict(), {})
    report = begin_with(model, path)
    assert not report.unexpected
    assert all(name.startswith("flow.") for name in report.missing)
    for name, value in detector.state_dict().items():
        assert torch.equal(model.state_dict()[f"detector.{name}"], value)
    whole = write_checkpoint(tmp_path / "whole.pt", model.state_dict(), {})
    assert begin_with(small("tiny_dff"), whole).complete
    other = write_checkpoint(tmp_path / "other.pt", {"nothing.weight": torch.zeros(1)}, {})
    with pytest.raises(CheckpointError, match=r"nothing in .*fits"):
        begin_with(model, other)
