"""A detector small enough to train in a test: it says where the mean of the objects is, with dropout and batch norm."""

import os
import sys

import torch
from torch import nn

from vidperc.data.datasets import ClipDataset
from vidperc.data.synthetic import synthetic_videos
from vidperc.data.transforms import Flip
from vidperc.engine.experiment import Experiment, TestData, TrainData
from vidperc.engine.optim import SGD
from vidperc.engine.schedule import Schedule
from vidperc.evaluation.evaluators import Evaluator
from vidperc.sequence import SequenceModel
from vidperc.structures import Instances


class Small(SequenceModel):
    def __init__(self, norm=True, dropout=0.2, poison=None):
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, stride=4)
        self.norm = nn.BatchNorm2d(8) if norm else nn.Identity()
        self.dropout = nn.Dropout(dropout)
        self.out = nn.Linear(8, 2)
        self.poison = poison

    def _centres(self, frames):
        images = torch.stack([frame.image.float() / 255 for frame in frames]).to(self.device)
        return self.out(self.dropout(self.norm(self.conv(images)).relu().mean((2, 3))))

    def forward(self, clips):
        frames = [clip[clip.key] for clip in clips]
        truth = torch.stack(
            [f.instances.boxes.mean(0)[:2] / 64 if len(f.instances) else torch.zeros(2) for f in frames]
        )
        distance = (self._centres(frames) - truth).abs()
        if self.poison is not None and clips[0].video == self.poison:
            distance = distance / 0
        return {"loss_x": distance[:, 0].mean(), "loss_y": distance[:, 1].mean()}

    def step(self, frame, state=None):
        centre = self._centres([frame])[0] * 64
        return Instances(boxes=torch.cat([centre, centre + 10])[None], labels=torch.zeros(1).long())


class Distance(Evaluator):
    """Minus the mean distance of predicted and true corners."""

    def __init__(self):
        self.values = []

    def process(self, video, predictions, truths=None):
        for predicted, truth in zip(predictions, truths, strict=True):
            if len(truth):
                self.values.append(float((predicted.boxes[0, :2] - truth.boxes.mean(0)[:2]).abs().mean()))

    def evaluate(self):
        return {"closeness": -sum(self.values) / len(self.values)}


def experiment(model=None, test=True, **schedule) -> Experiment:
    torch.manual_seed(0)
    settings = {"iterations": 8, "batch_size": 4, "warmup_iterations": 2, "optimizer": SGD(lr=0.05), **schedule}
    return Experiment(
        task="det",
        model=model or Small(),
        train_data=TrainData(ClipDataset(synthetic_videos("train", 3, 6, (64, 64)), transforms=[Flip()])),
        test_data=TestData(synthetic_videos("test", 2, 3, (64, 64)), Distance, "closeness") if test else None,
        schedule=Schedule(**settings),
    )


def gradients_of_one_step(out, world_size):
    """Run by torchrun and by hand: the gradients of a first step, written to a file."""
    from vidperc.engine.schedule import Schedule as _Schedule
    from vidperc.engine.train import RunOptions, _Run, make_fabric

    torch.manual_seed(3)
    described = experiment(Small(norm=False, dropout=0.0), test=False, clip_norm=None)
    options = RunOptions(
        workers=0, accelerator="cpu", devices=world_size, strategy="ddp" if world_size > 1 else "auto", show=False
    )
    assert isinstance(described.schedule, _Schedule)
    run = _Run(
        make_fabric(described.schedule, options), described, described.train_data, described.schedule, out, options
    )
    clips = next(run.batches)
    loss = sum(run.wrapped(clips).values())
    run.fabric.backward(loss)
    if run.fabric.is_global_zero:
        torch.save({name: p.grad for name, p in run.model.named_parameters()}, out / f"gradients{world_size}.pt")


if __name__ == "__main__":
    from pathlib import Path

    gradients_of_one_step(Path(sys.argv[1]), int(os.environ.get("WORLD_SIZE", "1")))
