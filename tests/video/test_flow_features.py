"""What is computed once per frame gives what plain formulas give for every pair: flow's halves, FGFA's embedding."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from vidperc.ops.warp import warp
from vidperc.video.aggregation import Aggregator
from vidperc.video.flow import FlowNetS


def plain_flow(network: FlowNetS, pairs: torch.Tensor) -> list[torch.Tensor]:
    """FlowNet-S on pictures one above the other (B, 6, H, W), layer by layer; coarsest output first."""
    skips, x = [], pairs
    for number in range(1, 7):
        for conv in getattr(network, f"conv{number}"):
            x = F.leaky_relu(conv(x), 0.1)
        skips.append(x)
    flows = []
    for level in (5, 4, 3, 2):
        flows.append(getattr(network, f"predict_flow{level + 1}")(x))
        skip = skips[level - 1]
        up = F.leaky_relu(getattr(network, f"deconv{level}")(x), 0.1)
        finer = getattr(network, f"upsample_flow{level}")(flows[-1])
        x = torch.cat([part[..., : skip.shape[-2], : skip.shape[-1]] for part in (skip, up, finer)], dim=1)
    return [*flows, network.predict_flow(x)]


@torch.no_grad()
def test_flow_from_halves_is_the_plain_networks():
    """Five pairs, all at once and in parts; sides that no level halves evenly."""
    torch.manual_seed(0)
    network = FlowNetS(width=8)
    first, second = torch.rand(2, 5, 3, 70, 110) - 0.4
    expected = plain_flow(network, torch.cat([first, second], dim=1))
    torch.testing.assert_close(network(first, second), expected[-1], atol=1e-6, rtol=1e-4)
    halves = network.halves(first, first=True), network.halves(second, first=False).split(2)
    for ours, plain in zip(network.pyramid(*halves), expected, strict=True):
        torch.testing.assert_close(ours, plain, atol=1e-5, rtol=1e-4)
    alone = plain_flow(network, torch.cat([first[:1].expand_as(second), second], dim=1))[-1]
    torch.testing.assert_close(network.pyramid(halves[0][:1], halves[1])[-1], alone, atol=1e-6, rtol=1e-4)


@torch.no_grad()
@pytest.mark.parametrize("convs", [1, 2])
def test_embedding_before_moving_aggregates_as_embedding_after(convs):
    torch.manual_seed(0)
    aggregator = Aggregator(channels=12, convs=convs)
    key, *references = torch.randn(4, 1, 12, 6, 9)
    flows = torch.randn(3, 2, 6, 9) * 3  # over every border, too
    counts = torch.tensor([1.0, 1.0, 4.0, 2.0])
    moved = torch.cat([key, warp(torch.cat(references), flows)])
    products = [aggregator.products(reference) for reference in references]
    early = aggregator.aggregate(key, references, products, flows, counts)
    torch.testing.assert_close(early, aggregator(key, moved, counts), atol=1e-5, rtol=1e-4)
    late = aggregator.aggregate(key, references, [], flows, counts)
    torch.testing.assert_close(late, aggregator(key, moved, counts), atol=1e-6, rtol=1e-5)
