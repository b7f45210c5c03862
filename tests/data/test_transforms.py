"""Transforms move boxes and masks with the picture."""

import numpy as np
import pytest
import torch

from vidperc.data.synthetic import SyntheticVideo
from vidperc.data.transforms import (
    CentreCropPad,
    CopyPaste,
    DropSmall,
    Expand,
    Flip,
    HSVJitter,
    LargeScaleJitter,
    MinIoUCrop,
    MixUp,
    Mosaic,
    OneOf,
    PhotometricDistortion,
    RandomAffine,
    RandomCrop,
    RandomShift,
    Resize,
    ResizeRange,
)
from vidperc.data.transforms.affine import Warp, warp_boxes, within
from vidperc.data.transforms.geometry import crop_frame, crop_whole, mask_boxes
from vidperc.structures import Clip, Frame, Instances

HEIGHT, WIDTH = 120, 160


def drawn(rng, count=4) -> Frame:
    """A frame whose objects are ellipses of flat colour, with their masks and the masks' bounds."""
    picture = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    y, x = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    masks = []
    for number in range(count):
        cx, cy = 25 + 38 * number, rng.uniform(40, 80)
        rx, ry = rng.uniform(8, 17), rng.uniform(8, 30)
        mask = ((x - cx) / rx) ** 2 + ((y - cy) / ry) ** 2 <= 1
        picture[mask] = (40 + 50 * number, 255, 250)
        masks.append(mask)
    bitmaps = torch.from_numpy(np.stack(masks))
    frame = Frame.from_array(picture)
    frame.instances = Instances(
        boxes=mask_boxes(bitmaps), labels=torch.arange(count), ids=torch.arange(count) + 10, masks=bitmaps
    )
    return frame


def clip_of(seed, frames=2) -> Clip:
    rng = np.random.default_rng(seed)
    return Clip([drawn(rng) for _ in range(frames)], 0, f"clip{seed}")


GEOMETRIC = {
    "resize": Resize((240, 200)),
    "resize, ratio changed": Resize((100, 150), keep_ratio=False),
    "resize, smaller": Resize([(80, 60), (90, 70)]),
    "resize range": ResizeRange((100, 80), (300, 200)),
    "flip": Flip(1.0),
    "flip upside down": Flip(1.0, horizontal=False),
    "crop": RandomCrop((60, 80), (110, 150)),
    "min IoU crop": MinIoUCrop(),
    "expand": Expand(probability=1.0),
    "large scale jitter": LargeScaleJitter((100, 140), (0.4, 2.0)),
    "mosaic": Mosaic((100, 120)),
    "mixup": MixUp(),
    "copy-paste": CopyPaste(1.0),
    "shift": RandomShift(20, 1.0),
    "centre crop": CentreCropPad((90, 110), (0.6, 1.0, 1.3), border=32),
    "affine": RandomAffine((0.8, 1.2), translation=0.05),
    "small ones dropped": DropSmall(20),
    "one of": OneOf([[Flip(1.0)], [Resize((100, 90)), Flip(1.0)]]),
}


@pytest.mark.parametrize("name", GEOMETRIC)
def test_boxes_are_the_bounds_of_masks(name):
    seen = 0
    for seed in range(12):
        clip = GEOMETRIC[name](clip_of(seed), np.random.default_rng(seed), lambda: clip_of(1000))
        for frame in clip.frames:
            objects = frame.instances.validate()
            assert objects.masks.shape[1:] == frame.size
            assert frame.array.flags.c_contiguous
            limits = torch.tensor([frame.size[1], frame.size[0]] * 2)
            assert (objects.boxes >= -1e-4).all()
            assert (objects.boxes <= limits + 1e-4).all()
            assert (mask_boxes(objects.masks) - objects.boxes).abs().max() <= 1.0 + 1e-3
            seen += len(objects)
    assert seen > 24


@pytest.mark.parametrize("name", [name for name in GEOMETRIC if name not in ("mixup", "mosaic", "copy-paste")])
def test_pictures_go_with_the_masks(name):
    """Inside an object (eroded by three pixels) the picture has the object's colour."""
    for seed in range(6):
        clip = GEOMETRIC[name](clip_of(seed), np.random.default_rng(seed), None)
        for frame in clip.frames:
            for mask, label in zip(frame.instances.masks, frame.instances.labels):
                inner = mask.clone()
                for axis, shift in ((0, 1), (0, -1), (1, 1), (1, -1)):
                    inner &= mask.roll(shift, axis) & mask.roll(2 * shift, axis) & mask.roll(3 * shift, axis)
                inner[[0, 1, 2, -3, -2, -1]] = False
                inner[:, [0, 1, 2, -3, -2, -1]] = False
                if inner.any():
                    red = torch.from_numpy(frame.array)[inner][:, 0].float()
                    assert (red - (40 + 50 * int(label))).abs().max() <= 2


@pytest.mark.parametrize("name", GEOMETRIC)
def test_drawn_once_per_clip_and_deterministic(name):
    """A clip whose frames are the same stays so; the same generator gives the same clip."""
    one = clip_of(3, 1)
    clip = Clip([one[0], one[0]], 0, "twice")
    results = [GEOMETRIC[name](clip, np.random.default_rng(5), lambda: clip) for _ in range(2)]
    first, second = results[0].frames
    assert torch.equal(first.image, second.image)
    assert torch.equal(first.instances.boxes, second.instances.boxes)
    assert torch.equal(first.instances.ids, second.instances.ids)
    assert torch.equal(first.image, results[1][0].image)


@pytest.mark.parametrize("name", [*GEOMETRIC, "colour"])
def test_the_given_clip_is_left_as_it_is(name):
    transform = GEOMETRIC.get(name, PhotometricDistortion())
    clip, same = clip_of(1), clip_of(1)
    for seed in range(4):
        transform(clip, np.random.default_rng(seed), lambda: clip)
    for frame, other in zip(clip.frames, same.frames):
        assert torch.equal(frame.image, other.image)
        assert torch.equal(frame.instances.boxes, other.instances.boxes)
        assert torch.equal(frame.instances.masks, other.instances.masks)


@pytest.mark.parametrize("name", GEOMETRIC)
def test_no_objects(name):
    clip = clip_of(0)
    for frame in clip.frames:
        frame.instances = frame.instances[:0]
    out = GEOMETRIC[name](clip, np.random.default_rng(0), lambda: clip)
    assert all(len(frame.instances) == 0 for frame in out.frames)


def test_flip_by_hand():
    frame = Frame.from_array(np.arange(2 * 5 * 3, dtype=np.uint8).reshape(2, 5, 3))
    frame.instances = Instances(boxes=torch.tensor([[1.0, 0, 2, 1]]))
    out = Flip(1.0)(Clip([frame]), np.random.default_rng(0))[0]
    assert out.instances.boxes.tolist() == [[3, 0, 4, 1]]
    assert out.array[0, 0].tolist() == frame.array[0, 4].tolist()


def test_resize_by_hand():
    """COCO's usual 640x480 into (1333, 800) becomes 1067x800."""
    frame = Frame.from_array(np.zeros((480, 640, 3), np.uint8))
    frame.instances = Instances(boxes=torch.tensor([[64.0, 48, 128, 96]]))
    out = Resize((1333, 800))(Clip([frame]), np.random.default_rng(0))[0]
    assert out.size == (800, 1067)
    assert out.instances.boxes.tolist() == [pytest.approx([106.7, 80, 213.4, 160])]


def test_crop_clips_full_boxes_and_recomputes_tight_ones():
    frame = Frame.from_array(np.zeros((20, 20, 3), np.uint8))
    masks = torch.zeros(2, 20, 20, dtype=torch.bool)
    masks[0, 0:10, 5] = True
    masks[0, 9, 5:15] = True  # an L: in the right half only its foot is left
    masks[1, 4:8, 12:16] = True  # half hidden: its box is larger than its mask
    frame.instances = Instances(boxes=torch.tensor([[5.0, 0, 15, 10], [2, 2, 18, 18]]), masks=masks)
    out = crop_frame(frame, (10, 0, 20, 20)).instances
    assert out.boxes.tolist() == [[0, 9, 5, 10], [0, 2, 8, 18]]


def test_min_iou_crop_keeps_centres():
    for seed in range(30):
        clip = clip_of(seed, 1)
        out = MinIoUCrop()(clip, np.random.default_rng(seed))
        assert len(out[0].instances) > 0


def test_colour_keeps_geometry_and_range():
    clip = clip_of(2)
    changed = 0
    for seed in range(10):
        out = PhotometricDistortion()(clip, np.random.default_rng(seed))
        assert out[0].image.dtype == torch.uint8
        assert torch.equal(out[0].instances.boxes, clip[0].instances.boxes)
        changed += int(not torch.equal(out[0].image, clip[0].image))
    assert changed > 5


def plain(size: tuple[int, int], *boxes: list[float]) -> Clip:
    frame = Frame.from_array(np.full((*size, 3), 9, np.uint8))
    frame.instances = Instances(boxes=torch.tensor(boxes).reshape(-1, 4), labels=torch.arange(len(boxes)))
    return Clip([frame])


class Chosen:
    """A generator whose `uniform` gives chosen values, whatever the range."""

    def __init__(self, *values):
        self.values = iter(values)

    def uniform(self, low, high, size=None):
        return next(self.values) if size is None else np.array([next(self.values) for _ in range(size)])


def test_affine_by_hand():
    """Twice as large, turned by 90 degrees about the first corner, moved by a quarter of the width to the right."""
    clip = plain((20, 160), [5.0, 2, 15, 8])
    out = RandomAffine(border=(0, 0)).apply(clip[0], RandomAffine().draw(clip, Chosen(90, 2, 0, 0, 0.25, 0)))
    assert out.size == (20, 160)
    assert out.instances.boxes.tolist() == [pytest.approx([40 - 16, 10, 40 - 4, 20], abs=1e-4)]


def test_affine_shears_before_it_shifts_and_after_it_scales():
    """x grows by y where the shear along x is 45 degrees; the box of 2 x 2 at (1, 1) goes to 3 x 3 times that."""
    warp = RandomAffine().draw(plain((10, 20)), Chosen(0, 3, 45, 0, 0.1, -0.1))
    assert warp_boxes(torch.tensor([[1.0, 1, 3, 3]]), warp).tolist() == [
        pytest.approx([3 + 3 + 2, 3 - 1, 9 + 9 + 2, 9 - 1])
    ]


def test_affine_leaves_a_quarter_of_a_mosaic_and_moves_pictures_with_boxes():
    clip = plain((80, 120), [20.0, 20, 40, 30])
    clip[0].array[20:30, 20:40] = 200
    transform = RandomAffine(border=(-20, -30), fill=(114, 114, 114))
    out = transform.apply(clip[0], transform.draw(clip, Chosen(0, 2, 0, 0, 0, 0)))
    assert out.size == (40, 60)
    assert len(out.instances) == 0  # (40, 40, 80, 60) is below the picture
    small = transform.apply(clip[0], transform.draw(clip, Chosen(0, 0.5, 0, 0, 0, 0)))
    assert small.instances.boxes.tolist() == [[10, 10, 20, 15]]
    assert (small.array[11:14, 11:19] == 200).all()
    assert (small.array[:, :9] == 9).all()
    assert (small.array[-1, -1] == 9).all()  # half of 80 x 120 is all of it
    tiny = transform.apply(clip[0], transform.draw(clip, Chosen(0, 0.1, 0, 0, 0, 0)))
    assert (tiny.array[10:, 15:] == 114).all()
    with pytest.raises(ValueError, match="nothing is left"):
        RandomAffine(border=(-40, 0)).draw(clip, np.random.default_rng(0))


def test_affine_drops_what_hardly_stays():
    """By area: 19 and 21 hundredths are left. By side: 2 and 2.1 pixels. By aspect: 20 and 19 to 1."""
    warp = Warp(np.eye(3), 1.0, (100, 100))
    boxes = torch.tensor(
        [[81.0, 0, 181, 50], [79, 0, 179, 50], [0, 0, 2, 9], [0, 0, 2.1, 9], [0, 0, 4, 80], [0, 0, 4, 76]]
    )
    stays = RandomAffine().stays(boxes, within(warp_boxes(boxes, warp), warp))
    assert stays.tolist() == [False, True, False, True, False, True]


def test_hsv_jitter_by_hand():
    """Pure red, (0, 255, 255): hue by 5 half degrees is 10 degrees, a sixth of the way to yellow."""
    clip = plain((2, 2))
    clip[0].array[:] = (255, 0, 0)
    assert HSVJitter().apply(clip[0], (5, 0, 0)).array[0, 0].tolist() == pytest.approx([255, 42, 0], abs=1)
    assert HSVJitter().apply(clip[0], (0, 30, -55)).array[0, 0].tolist() == [200, 0, 0]
    assert HSVJitter().apply(clip[0], (0, -255, 0)).array[0, 0].tolist() == [255, 255, 255]
    drawn = [HSVJitter().draw(clip, np.random.default_rng(seed)) for seed in range(200)]
    assert [max(abs(each[axis]) for each in drawn) <= limit for axis, limit in enumerate((5, 30, 30))] == [True] * 3
    assert 60 < sum(each[1] != 0 for each in drawn) < 140


def test_mixup_mirrors_the_filled_canvas():
    """A picture of 10 x 10 on a canvas of 10 x 20 of the same scale: it is on the left, or, mirrored, on the right."""
    first, second = plain((10, 20)), plain((10, 10), [1.0, 2, 4, 6])
    mixed = [MixUp(fill=(114, 114, 114))._frame(first[0], second[0], 1.0, 0, 0, mirror) for mirror in (False, True)]
    assert [frame.instances.boxes.tolist() for frame in mixed] == [[[1, 2, 4, 6]], [[16, 2, 19, 6]]]
    assert [frame.array[0, (0, 19), 0].tolist() for frame in mixed] == [[9, 62], [62, 9]]


def test_crops_draw_sides_up_to_the_picture():
    """Of 4 to 100 pixels in a picture of 10 x 6 the sides are evenly drawn from 4 to 10 and from 4 to 6."""
    crop, rng = RandomCrop((4, 4), (100, 100)), np.random.default_rng(0)
    sides = np.array([RandomCrop._window(crop, (10, 6), rng) for _ in range(2000)])
    heights, widths = sides[:, 3] - sides[:, 1], sides[:, 2] - sides[:, 0]
    assert set(heights) == set(range(4, 11))
    assert set(widths) == {4, 5, 6}
    assert 230 < (heights == 10).sum() < 350
    assert RandomCrop((20, 20))._window((10, 6), rng) == (0, 0, 6, 10)


def test_crops_show_a_part_of_an_object():
    clip = plain((100, 100), [0.0, 0, 60, 60])
    for seed in range(40):
        assert len(RandomCrop((50, 50))(clip, np.random.default_rng(seed))[0].instances) == 1
    negative = [RandomCrop((20, 20), keep_objects=False)(clip, np.random.default_rng(seed)) for seed in range(40)]
    assert any(len(out[0].instances) == 0 for out in negative)
    ignored = plain((100, 100), [0.0, 0, 60, 60])
    ignored[0].instances.ignored = torch.tensor([True])
    assert any(len(RandomCrop((20, 20))(ignored, np.random.default_rng(s))[0].instances) == 0 for s in range(40))


def test_boxes_of_whole_objects_outlast_crops():
    """Boxes beyond the picture stay as large as they are; those of which nothing is seen go."""
    clip = plain((40, 60), [-10.0, 5, 30, 50], [0, 0, 10, 10], [40, 20, 70, 39])
    out = RandomCrop((40, 45), crop=crop_whole).apply(clip[0], (15, 0, 60, 40))
    assert out.instances.boxes.tolist() == [[-25, 5, 15, 50], [25, 20, 55, 39]]
    assert out.size == (40, 45)
    shifted = RandomAffine(crop=crop_whole)
    moved = shifted.apply(clip[0], shifted.draw(clip, Chosen(0, 1, 0, 0, -0.5, 0)))
    assert moved.instances.boxes.tolist() == [[10, 20, 40, 39]]  # a tenth is left of the first, all of the last
    mosaic = Mosaic((40, 60), centre=(0.25, 0.25), crop=crop_whole)(clip, np.random.default_rng(0), lambda: clip)
    # the centre is at (30, 20): of the first picture the lower right quarter is seen, the last object in it
    assert mosaic[0].instances.boxes[0].tolist() == [10, 0, 40, 19]
    mixed = MixUp(crop=crop_whole)._frame(clip[0], clip[0], 1.0, 0, 0, False)
    assert mixed.instances.boxes[3].tolist() == [-10, 5, 30, 50]


def test_shift_by_hand():
    clip = plain((10, 20), [2.0, 2, 8, 8])
    out = RandomShift().apply(clip[0], (4, -3))
    assert out.size == (10, 20)
    assert out.instances.boxes.tolist() == [[6, 0, 12, 5]]
    assert (out.array[:7, 4:] == 9).all()
    assert out.array[7:].sum() == out.array[:, :4].sum() == 0
    corner = plain((10, 20), [0.0, 0, 1, 1])
    shifts = [RandomShift(9, 1.0).draw(corner, np.random.default_rng(seed)) for seed in range(40)]
    assert 20 < shifts.count(None) < 38  # three quarters go to the left or up
    assert all(min(shift) >= 0 for shift in shifts if shift is not None)


def test_centre_crop_by_hand():
    """A window of 8 x 12 about (15, 2) in a picture of 10 x 20: columns 9 to 20, rows 0 to 6, on rows 2 to 8."""
    clip = plain((10, 20), [10.0, 1, 18, 9], [0, 0, 17, 9])
    out = CentreCropPad((8, 12), fill=(1, 1, 1)).apply(clip[0], ((8, 12), (15, 2)))
    assert out.size == (8, 12)
    assert out.instances.labels.tolist() == [0]
    assert out.instances.boxes.tolist() == [[1, 3, 9, 8]]
    assert (out.array[2:8, :11] == 9).all()
    assert (out.array[:2] == 1).all()
    assert (out.array[:, 11] == 1).all()
    assert [CentreCropPad((8, 8))._edge(side) for side in (500, 256, 200, 128, 100, 1)] == [128, 64, 64, 32, 32, 0]


def test_mosaic_shows_four_clips_and_keeps_identities_apart():
    out = Mosaic((100, 120), centre=(0.5, 0.5))(clip_of(0), np.random.default_rng(0), lambda: clip_of(1))
    assert out[0].size == (200, 240)
    objects = out[0].instances
    assert len(objects) == 16
    assert len(objects.ids.unique()) == 16
    assert torch.equal(objects.ids, out[1].instances.ids)


def test_copy_paste_takes_hidden_pixels_from_below():
    below, above = clip_of(0), clip_of(0)
    out = CopyPaste(1.0, share=1.0)(below, np.random.default_rng(0), lambda: above)
    assert int(out[0].instances.masks.sum(0).max()) == 1
    assert len(out[0].instances) == 4  # all of them hidden by their copies


def test_joined_pictures_keep_what_is_ignored():
    """A picture that says nothing of ignored objects, and one without any, beside one with a crowd."""
    plain, crowded, bare = clip_of(0, 1), clip_of(1, 1), clip_of(2, 1)
    for clip in (plain, crowded, bare):
        clip[0].instances = Instances(boxes=clip[0].instances.boxes, labels=clip[0].instances.labels)
    crowded[0].instances.ignored = torch.tensor([True, False, False, False])
    bare[0].instances = Instances.empty(labels=False, scores=False)
    others = iter([crowded, bare, plain])
    out = Mosaic((100, 120), centre=(0.5, 0.5))(plain, np.random.default_rng(0), lambda: next(others))
    assert out[0].instances.ignored.tolist() == [False] * 4 + [True] + [False] * 7
    assert out[0].instances.labels is not None


def test_ignored_objects_are_not_pasted():
    below, above = clip_of(0), clip_of(1)
    for frame in above.frames:
        frame.instances.ignored = torch.tensor([True, True, True, False])
    out = CopyPaste(1.0, share=1.0)(below, np.random.default_rng(0), lambda: above)
    pasted = out[0].instances.ids >= 2**32
    assert (out[0].instances.ids[pasted] - 2**32).tolist() == above[0].instances.ids[3:].tolist()
    assert not out[0].instances.ignored.any()


def test_mixing_needs_more_clips():
    with pytest.raises(ValueError, match="Mosaic joins several clips"):
        Mosaic((50, 50))(clip_of(0), np.random.default_rng(0))


def test_on_synthetic_clips():
    """Visible boxes of occluded, moving objects stay the bounds of their masks through a chain."""
    video = SyntheticVideo(3, 10, (160, 256), "vis")
    chain = [Flip(1.0), RandomCrop((120, 200)), Resize((300, 180)), PhotometricDistortion()]
    rng = np.random.default_rng(0)
    clip = Clip([video.read(i) for i in (0, 4, 8)])
    for transform in chain:
        clip = transform(clip, rng)
    for frame in clip.frames:
        assert (mask_boxes(frame.instances.masks) - frame.instances.boxes).abs().max() <= 1.5
