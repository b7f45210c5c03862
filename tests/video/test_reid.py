"""Re-identification: crops against OpenCV's, losses by hand, embeddings of frames together and alone."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from torch.nn import functional as F

from vidperc import Clip, Frame, Instances
from vidperc.image.backbones import ResNet
from vidperc.image.crops import NetworkCrops, PixelCrops
from vidperc.image.preprocess import Preprocessor
from vidperc.ops.box_crops import resize_boxes, sample_boxes, whole_pixels
from vidperc.video.reid import ReID, ReIDHead, triplet_loss
from vidperc.video.sort import SORT
from vidperc.video.tracking import GivenDetections, TrackByDetection

BOUNDS = [[0, 0, 90, 70], [3, 5, 17, 49], [10, 20, 11, 21], [50, 0, 90, 70], [20, 30, 84, 62], [0, 69, 90, 70]]


def picture(height: int = 70, width: int = 90, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def small(crops=None, identities: int = 5, **options) -> ReID:
    backbone = ResNet(18, out_indices=(3,), frozen_stages=-1, norm_eval=False, base_channels=32)
    head = ReIDHead(backbone.out_channels[-1], hidden=16, size=6, identities=identities)
    return ReID(crops=crops or PixelCrops((32, 16)), backbone=backbone, head=head, **options).eval()


def test_resized_boxes_are_opencvs_bit_by_bit():
    rgb = picture()
    crops = resize_boxes(torch.from_numpy(rgb).permute(2, 0, 1), torch.tensor(BOUNDS), (64, 32))
    for crop, (x1, y1, x2, y2) in zip(crops, BOUNDS, strict=True):
        expected = cv2.resize(rgb[y1:y2, x1:x2], (32, 64), interpolation=cv2.INTER_LINEAR)
        np.testing.assert_array_equal(crop.permute(1, 2, 0).numpy(), expected)


def test_sampled_boxes_are_parts_interpolated_alone():
    image = torch.from_numpy(picture()).permute(2, 0, 1).float()
    crops = sample_boxes(image, torch.tensor(BOUNDS), (64, 32))
    for crop, (x1, y1, x2, y2) in zip(crops, BOUNDS, strict=True):
        expected = F.interpolate(image[None, :, y1:y2, x1:x2], (64, 32), mode="bilinear", align_corners=False)[0]
        torch.testing.assert_close(crop, expected, atol=5e-3, rtol=0)


def test_whole_pixels_stay_in_the_picture():
    boxes = torch.tensor(
        [[1.9, 2.2, 5.7, 6.9], [-4, -4, 3.5, 200], [3.2, 3.2, 3.4, 3.4], [95, 80, 99, 90], [-9, -9, -5, -5]]
    )
    expected = [[1, 2, 5, 6], [0, 0, 3, 70], [3, 3, 4, 4], [89, 69, 90, 70], [0, 0, 1, 1]]
    assert whole_pixels(boxes, 90, 70).tolist() == expected


def test_pixel_crops_are_normalised():
    rgb = picture()
    crops = PixelCrops((64, 32))
    [prepared] = crops.prepare([Frame.from_array(rgb)], torch.device("cpu"))
    found = crops.cut(prepared, torch.tensor([[3.0, 5, 17, 49]]))[0].permute(1, 2, 0).numpy()
    expected = (cv2.resize(rgb[5:49, 3:17], (32, 64)) - np.array(crops.mean)) / np.array(crops.std)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_network_crops_count_in_pixels_of_the_frame():
    """A picture shown at twice its size: the box doubles with it."""
    rgb = picture()
    crops = NetworkCrops(Preprocessor(test_scale=(180, 140), mean=(0, 0, 0), std=(1, 1, 1)), (64, 32))
    [prepared] = crops.prepare([Frame.from_array(rgb)], torch.device("cpu"))
    found = crops.cut(prepared, torch.tensor([[3.0, 5, 17, 49]]))[0]
    double = torch.from_numpy(cv2.resize(rgb, (180, 140))).permute(2, 0, 1).float()[None]
    expected = F.interpolate(double[:, :, 10:98, 6:34], (64, 32), mode="bilinear", align_corners=False)[0]
    torch.testing.assert_close(found, expected, atol=1e-2, rtol=0)


@pytest.mark.parametrize("crops", [PixelCrops((32, 16)), NetworkCrops(Preprocessor(test_scale=(96, 64)), (32, 16))])
def test_frames_together_are_as_alone(crops):
    model = small(crops, max_crops=4)  # so that batches do not end where frames do
    frames = [Frame.from_array(picture(70, 90, 1), 0), Frame.from_array(picture(50, 64, 2), 1)]
    frames.append(Frame.from_array(picture(70, 90, 3), 2))
    boxes = [torch.tensor(BOUNDS).float(), torch.zeros(0, 4), torch.tensor(BOUNDS[1:4]).float()]
    given = [Instances(boxes=own) for own in boxes]
    with model.inference():
        together = model.embed(frames, given)
        alone = [model.embed([frame], [own])[0] for frame, own in zip(frames, given, strict=True)]
        none = model.embed([], [])
    assert [tuple(part.shape) for part in together] == [(6, 6), (0, 6), (3, 6)]
    assert none == []
    for a, b in zip(together, alone, strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-4)


def test_as_a_sequence_model_it_adds_embeddings():
    model = small()
    frame = Frame.from_array(picture())
    frame.detections = Instances(boxes=torch.tensor(BOUNDS).float())
    with model.inference():
        found = model.step(frame)
        expected = model.embed([frame], [frame.detections])[0]
        assert model.step(Frame.from_array(picture())).embeddings.shape == (0, 6)
    torch.testing.assert_close(found.embeddings, expected)


def test_a_tracker_sees_the_embeddings():
    class Seeing(SORT):
        def update(self, detections, state, **options):
            assert detections.embeddings.shape == (len(detections), 6)
            return super().update(detections, state, **options)

    model = TrackByDetection(GivenDetections(), Seeing(min_hits=0), reid=small())
    frame = Frame.from_array(picture())
    frame.detections = Instances(boxes=torch.tensor(BOUNDS[:2]).float())
    with model.inference():
        assert len(model.step(frame, model.init_state())) == 2


def test_triplet_loss_by_hand():
    """On a line at 0, 1 | 3, 7: farthest same 1 1 4 4, nearest other 3 2 2 6."""
    embeddings, identities = torch.tensor([[0.0], [1], [3], [7]]), torch.tensor([0, 0, 1, 1])
    terms = [max(0.0, near + 0.5) for near in (1 - 3, 1 - 2, 4 - 2, 4 - 6)]
    assert triplet_loss(embeddings, identities, 0.5).item() == pytest.approx(sum(terms) / 4)
    assert triplet_loss(embeddings, torch.zeros(4, dtype=torch.int64), 0.5).item() == 0.0


def clip(ids, rgb, boxes=BOUNDS) -> Clip:
    frame = Frame.from_array(rgb)
    frame.instances = Instances(boxes=torch.tensor(boxes).float(), ids=torch.tensor(ids))
    return Clip([frame], video="a")


def test_training_brings_both_losses_down():
    rgb = np.zeros((70, 90, 3), np.uint8)
    rgb[:, :45], rgb[:, 45:] = (200, 40, 40), (40, 40, 200)
    boxes = [[0, 0, 20, 40], [10, 20, 40, 60], [50, 0, 70, 40], [60, 10, 85, 69]]
    model = small(identities=2).train()
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    history = []
    for _ in range(40):
        losses = model([clip([0, 0, 1, 1], rgb, boxes)])
        assert set(losses) == {"loss_identity", "loss_triplet"}
        optimizer.zero_grad()
        sum(losses.values()).backward()
        optimizer.step()
        history.append({name: value.item() for name, value in losses.items()})
    assert max(each["loss_identity"] for each in history[-3:]) < 0.5 * np.log(2)  # of guessing between the two
    assert history[-1]["loss_triplet"] <= history[0]["loss_triplet"]


def test_training_input_is_checked():
    model = small().train()
    with pytest.raises(ValueError, match="identity 7: expected 0 to 4"):
        model([clip([0, 0, 1, 1, 7, 2], picture())])
    with pytest.raises(ValueError, match="at least two"):
        model([clip([0], picture(), BOUNDS[:1])])
    with pytest.raises(ValueError, match=r"a, frame 0: .* objects with ids"):
        model([Clip([Frame.from_array(picture())], video="a")])
