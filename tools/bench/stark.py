"""Speed of STARK: a whole step against the bare network, and many objects in one frame.

The bare network is the tracker's own, on a search crop and templates that are there already. `plain_ms` is the
same network unfused, in NCHW and float32, as frameworks run it by default.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

import vidperc
from vidperc.sequence import Precision
from vidperc.structures import Frame, Video
from vidperc.video.stark import STARK
from vidperc.video.stark_network import Tokens

from ._timing import least_ms


def measure(
    name: str = "stark_st2_r50_50e_lasot",
    size: tuple[int, int] = (480, 640),
    objects: int = 8,
    repeats: int = 10,
    precisions: tuple[Precision, ...] = ("fp32", "bf16"),
    device: str = "cpu",
) -> list[dict[str, Any]]:
    """A row per precision, on noise of `size` (height, width): milliseconds, the least of the repeats."""
    rng = np.random.default_rng(0)
    frame = Frame.from_array(rng.integers(0, 256, (*size, 3), dtype=np.uint8))
    prompts = torch.tensor([[40.0 + 60 * k, 100, 100 + 60 * k, 180] for k in range(objects)])
    rows: list[dict[str, Any]] = []
    plain_ms = _plain_ms(name, repeats, device)
    for precision in precisions:
        model = vidperc.load(name, precision=precision, device=device)
        assert isinstance(model, STARK)
        crop, padding = _crop(model.search_size, device)
        with model.inference():
            states = [model.init_state(Video.from_frames([frame.array], prompt=p)) for p in (prompts[:1], prompts)]
            for state in states:
                model.step(frame, state)
            one, many = states
            assert one.targets is not None
            templates = one.targets.templates

            def bare(model: STARK = model, templates: Tokens = templates) -> None:
                query, _ = model.search(templates, model.embed(crop, padding))  # noqa: B023
                model.judge(query)

            times = least_ms([lambda m=model, s=one: m.step(frame, s), bare], repeats)  # type: ignore[misc]
            many_ms = least_ms([lambda m=model, s=many: m.step(frame, s)], max(repeats // 4, 1))[0]  # type: ignore[misc]
        rows.append(
            {
                "precision": precision,
                "step_ms": times[0],
                "bare_ms": times[1],
                "over bare": times[0] / times[1],
                "plain_ms": plain_ms,
                f"{objects}_objects_ms": many_ms,
            }
        )
    return rows


def _crop(side: int, device: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Noise without padding."""
    crop = (torch.rand(1, 3, side, side) * 255).to(device, memory_format=torch.channels_last)
    return crop, torch.zeros(1, side, side, dtype=torch.bool, device=device)


def _plain_ms(name: str, repeats: int, device: str) -> float:
    """The modules one after the other, in NCHW and float32, with their batch norms."""
    model = vidperc.load(name, fuse=False, device=device).to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    assert isinstance(model, STARK)
    with torch.inference_mode():
        template = model.embed(*_crop(model.template_size, device))
        templates = Tokens.cat([template] * model.templates, 1)
        crop, padding = _crop(model.search_size, device)
        crop = crop.contiguous()
        return least_ms([lambda: model.search(templates, model.embed(crop, padding))], repeats)[0]
