"""Speed of single-object tracking: a whole step against the bare network, and many objects in one frame.

The bare network is the tracker's own, on a search crop that is there already. `plain_ms` is the same network
unfused, in NCHW and float32, as frameworks run it by default.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

import vidperc
from vidperc.sequence import Precision
from vidperc.structures import Frame, Video
from vidperc.video.siamrpn import SiamRPN
from vidperc.video.siamrpn_network import ModuleNetwork, middle

from ._timing import least_ms


def measure(
    name: str = "siamese_rpn_r50_20e_lasot",
    size: tuple[int, int] = (480, 640),
    objects: int = 8,
    repeats: int = 10,
    precisions: tuple[Precision, ...] = ("fp32", "bf16"),
    device: str = "cpu",
) -> list[dict[str, Any]]:
    """A row per precision, on noise of `size` (height, width): milliseconds, the least of the repeats."""
    rows: list[dict[str, Any]] = []
    rng = np.random.default_rng(0)
    frame = Frame.from_array(rng.integers(0, 256, (*size, 3), dtype=np.uint8))
    prompts = torch.tensor([[40.0 + 60 * k, 100, 100 + 60 * k, 180] for k in range(objects)])
    plain_ms = _plain_ms(name, repeats, device)
    for precision in precisions:
        model = vidperc.load(name, precision=precision, device=device)
        assert isinstance(model, SiamRPN)
        crop = (torch.rand(1, 3, model.search_size, model.search_size) * 255).to(
            device, memory_format=torch.channels_last
        )
        with model.inference():
            states = [model.init_state(Video.from_frames([frame.array], prompt=p)) for p in (prompts[:1], prompts)]
            for state in states:
                model.step(frame, state)
            one, many = states
            assert one.targets is not None
            kernels = one.targets.kernels

            def bare(model: SiamRPN = model, kernels: object = kernels, crop: torch.Tensor = crop) -> None:
                network = model.network()
                network.correlate(kernels, network.features(crop))  # type: ignore[arg-type]

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


def _plain_ms(name: str, repeats: int, device: str) -> float:
    """The modules one after the other, in NCHW and float32, with their batch norms."""
    model = vidperc.load(name, fuse=False, device=device).to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    network = ModuleNetwork(model.backbone, model.neck, model.head)
    template, crop = (
        torch.rand(1, 3, side, side, device=device) * 255 for side in (model.template_size, model.search_size)
    )
    with torch.inference_mode():
        kernels = network.embed_template(middle(network.features(template), model.center_size))
        return least_ms([lambda: network.correlate(kernels, network.features(crop))], repeats)[0]
