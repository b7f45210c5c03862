"""Camera motion on pictures that were moved by known amounts."""

import cv2
import numpy as np
import pytest

from vidperc.structures import Frame
from vidperc.video.bot_sort import BoTSORT
from vidperc.video.camera_motion import STILL, ECCMotion, ORBMotion, SparseFlowMotion, warp_boxes
from vidperc.video.dense_kalman import DenseSizeFilter
from vidperc.video.kalman import SizeFilter

METHODS = {
    "ecc": ECCMotion(),
    "ecc_translation": ECCMotion(model="translation"),
    "orb": ORBMotion(),
    "flow": SparseFlowMotion(),
    "flow_full_size": SparseFlowMotion(downscale=1),
}
methods = pytest.mark.parametrize("method", METHODS.values(), ids=METHODS.keys())


def scene(width=480, height=360, seed=0):
    """Rectangles of all sizes and colours, a little out of focus."""
    rng = np.random.default_rng(seed)
    picture = np.full((height, width, 3), 128, np.uint8)
    for _ in range(width * height // 600):
        x, y = rng.integers(0, [width, height])
        w, h = rng.integers(6, 40, 2)
        picture[y : y + h, x : x + w] = rng.integers(0, 255, 3)
    return cv2.GaussianBlur(picture, (3, 3), 0)


def moved(picture, warp):
    return cv2.warpAffine(picture, warp, picture.shape[1::-1], borderMode=cv2.BORDER_REFLECT)


def estimate(method, *pictures, ignored=None):
    state = method.init_state()
    return [method.estimate(Frame.from_array(p), state, ignored) for p in pictures][-1]


@methods
def test_first_frame_and_same_frame(method):
    state = method.init_state()
    frame = Frame.from_array(scene())
    assert np.array_equal(method.estimate(frame, state), STILL)
    assert np.allclose(method.estimate(frame, state), STILL, atol=0.05)


@methods
@pytest.mark.parametrize("shift", [(6.0, -3.0), (-4.5, 8.0)])
def test_translation(method, shift):
    warp = np.array([[1.0, 0, shift[0]], [0, 1, shift[1]]])
    found = estimate(method, scene(), moved(scene(), warp))
    assert np.allclose(found[:, 2], shift, atol=0.6)
    assert np.allclose(found[:, :2], np.eye(2), atol=0.01)


@pytest.mark.parametrize("name", ["ecc", "orb", "flow"])
def test_rotation(name):
    warp = cv2.getRotationMatrix2D((240, 180), 1.5, 1.0)
    found = estimate(METHODS[name], scene(), moved(scene(), warp))
    corners = np.array([[60.0, 60, 1], [420, 60, 1], [240, 300, 1]])
    assert np.allclose(corners @ found.T, corners @ warp.T, atol=1.0)


@pytest.mark.parametrize("name", ["orb", "flow"])
def test_a_large_moving_object_is_ignored(name):
    """Half of the picture is an object that moves otherwise than the background."""
    before, after = scene(), moved(scene(), np.array([[1.0, 0, 5], [0, 1, 0]]))
    thing = scene(240, 360, seed=1)
    before[:, 120:360], after[:, 120:360] = thing, np.roll(thing, -7, 0)
    found = estimate(METHODS[name], before, after, ignored=np.array([[115.0, 0, 365, 360]]))
    assert np.allclose(found[:, 2], [5, 0], atol=1.0)


@methods
def test_blank_pictures_and_other_sizes_tell_nothing(method):
    blank = np.zeros((360, 480, 3), np.uint8)
    assert np.allclose(estimate(method, blank, blank), STILL)
    assert np.array_equal(estimate(method, scene(), scene(240, 360)), STILL)


def test_boxes_move_along():
    assert warp_boxes(np.array([[0.0, 0, 10, 20]]), np.array([[2.0, 0, 3], [0, 2, 4]])).tolist() == [[3, 4, 23, 44]]


def test_the_dense_filter_is_the_split_one_until_it_is_warped():
    dense, split = DenseSizeFilter(), SizeFilter()
    rng = np.random.default_rng(0)
    boxes = np.array([[10.0, 10, 50, 90], [100, 30, 180, 200]])
    a, b = dense.initiate(boxes), split.initiate(boxes)
    for _ in range(6):
        a, b = dense.predict(a), split.predict(b)
        assert np.allclose(dense.boxes(a), split.boxes(b))
        seen = boxes + rng.normal(0, 3, boxes.shape)
        a, b = dense.update(a, seen), split.update(b, seen)
        assert np.allclose(a[:, :4, 8], b[..., 0])
        assert np.allclose(a[:, 4:, 8], b[..., 1])
        assert np.allclose(a[:, [0, 1, 2, 3], [0, 1, 2, 3]], b[..., 2])
        assert np.allclose(a[:, [0, 1, 2, 3], [4, 5, 6, 7]], b[..., 3])


def test_warp_of_the_filter():
    """A zoom by 2 doubles positions, sizes and velocities, and quadruples variances."""
    dense = DenseSizeFilter()
    state = dense.update(dense.predict(dense.initiate(np.array([[10.0, 10, 50, 90]]))), np.array([[14.0, 12, 55, 91]]))
    zoomed = dense.warp(state, np.array([[2.0, 0, 5], [0, 2, 7]]))
    assert np.allclose(zoomed[:, :, :8], 4 * state[:, :, :8])
    assert np.allclose(zoomed[:, 2:, 8], 2 * state[:, 2:, 8])
    assert np.allclose(zoomed[:, :2, 8], 2 * state[:, :2, 8] + [5, 7])


def test_bot_sort_follows_through_a_pan():
    """The camera jerks by more than a person's width: only with compensation do ids stay."""
    import torch

    from vidperc.structures import Instances

    ids = {}
    for name, camera in (("still", None), ("flow", SparseFlowMotion())):
        tracker = BoTSORT(camera=camera)
        state = tracker.init_state()
        out = []
        for k in range(8):
            shift = 36.0 if k >= 5 else 0.0
            picture = moved(scene(), np.array([[1.0, 0, shift], [0, 1, 0]]))
            boxes = torch.tensor([[100.0 + shift, 50, 130 + shift, 130], [250 + shift, 90, 280 + shift, 170]])
            found = Instances(boxes=boxes, scores=torch.tensor([0.9, 0.9]))
            out.append(sorted(tracker.update(found, state, frame=Frame.from_array(picture)).ids.tolist()))
        ids[name] = out
    assert ids["flow"] == [[1, 2]] * 8
    assert ids["still"][-1] != [1, 2]
