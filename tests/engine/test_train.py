"""The loop: it learns, stops, resumes exactly, shares batches, keeps the best, stops at NaN."""

import csv
import os
import shutil
import signal
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from small import Small, experiment, gradients_of_one_step
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from vidperc.checkpoint import CheckpointError, load_checkpoint, read_checkpoint
from vidperc.data.datasets import ClipDataset, read_frame
from vidperc.data.transforms import Resize
from vidperc.engine.log import read_log
from vidperc.engine.optim import SGD, Rule
from vidperc.engine.train import NotFiniteError, RunOptions, micro_batch, train

QUIET = RunOptions(workers=0, accelerator="cpu", show=False, tensorboard=False, log_every=1)


def losses(folder):
    return [row["loss"] for row in read_log(folder) if row["kind"] == "train"]


def test_a_run(tmp_path):
    result = train(experiment(iterations=30, evaluate_every=10), tmp_path, QUIET)
    assert (result.iteration, result.total, result.stopped) == (30, 30, None)
    rows = read_log(tmp_path)
    assert sum(row["kind"] == "train" for row in rows) == 30
    scores = [row["closeness"] for row in rows if row["kind"] == "test"]
    assert len(scores) == 3
    assert result.best == max(scores)
    assert sum(losses(tmp_path)[-5:]) < sum(losses(tmp_path)[:5])
    assert (tmp_path / "log.csv").read_text().count("\n") == 34
    model = Small()
    report = load_checkpoint(model, tmp_path / "best.pt")
    assert report.complete
    meta = read_checkpoint(tmp_path / "best.pt")["meta"]
    assert meta["task"] == "det"
    assert meta["scores"]["closeness"] == result.best


LATE = SGD(lr=0.05, rules=[Rule("^conv", start=8), Rule("^norm", start=3)])  # before and after the stop below
EXTRAS = {"plain": {}, "all": {"ema_decay": 0.9, "accumulate": 2, "clip_norm": 1.0}, "late": {"optimizer": LATE}}


@pytest.mark.parametrize("extra", EXTRAS.values(), ids=EXTRAS)
def test_resume_is_exact(tmp_path, extra):
    """Stopped after 5 of 12 steps and resumed: the same losses and weights as without the stop."""
    train(experiment(iterations=12, **extra), tmp_path / "whole", QUIET)
    described = experiment(iterations=12, **extra)
    forward, count = described.model.forward, [0]

    def stopping(clips):
        count[0] += 1
        if count[0] == 5 * extra.get("accumulate", 1):
            os.kill(os.getpid(), signal.SIGTERM)
        return forward(clips)

    described.model.forward = stopping
    stopped = train(described, tmp_path / "parts", QUIET)
    assert (stopped.iteration, stopped.stopped) == (5, signal.SIGTERM)
    resumed = train(experiment(iterations=12, **extra), tmp_path / "parts", replace(QUIET, resume=True))
    assert resumed.iteration == 12
    assert losses(tmp_path / "parts") == losses(tmp_path / "whole")
    one, two = (read_checkpoint(tmp_path / name / "last.pt") for name in ("whole", "parts"))
    for name, value in one["state_dict"].items():
        assert torch.equal(value, two["state_dict"][name])
    best = [read_checkpoint(tmp_path / name / "best.pt")["state_dict"] for name in ("whole", "parts")]
    assert all(torch.equal(best[0][name], best[1][name]) for name in best[0])


def test_last_epochs_see_the_same_samples_changed_otherwise(tmp_path):
    """The last 3 of 8 steps have small pictures; so they have after a resume."""
    seen: list[tuple[int, list[str]]] = []

    def described(iterations):
        it = experiment(iterations=iterations)
        data = it.train_data
        data.last = ClipDataset(data.dataset.records, transforms=[Resize((32, 32))])
        data.last_epochs = 3 - (8 - iterations)  # the change stays after step 5
        forward = it.model.forward

        def looking(clips):
            seen.append((clips[0][0].size[0], [clip.video for clip in clips]))
            return forward(clips)

        it.model.forward = looking
        return it

    train(described(8), tmp_path / "whole", QUIET)
    assert [size for size, _ in seen] == [64] * 5 + [32] * 3
    whole, seen[:] = list(seen), []
    train(described(6), tmp_path / "parts", QUIET)
    train(described(8), tmp_path / "parts", replace(QUIET, resume=True))
    assert seen == whole
    plain = experiment()
    forward, names = plain.model.forward, []
    plain.model.forward = lambda clips: (names.append([clip.video for clip in clips]), forward(clips))[1]
    train(plain, tmp_path / "plain", QUIET)
    assert names == [each for _, each in whole]
    with pytest.raises(ValueError, match="18 samples to train on, but 6 in the last epochs"):
        replace(plain.train_data, last=ClipDataset(plain.train_data.dataset.records[:1]))


def test_the_usual_handler_is_back_after_a_run(tmp_path):
    before = signal.getsignal(signal.SIGTERM)
    train(experiment(iterations=1, test=False), tmp_path, QUIET)
    assert signal.getsignal(signal.SIGTERM) is before


def test_in_a_thread_where_signals_cannot_be_caught(tmp_path):
    results = []
    thread = threading.Thread(target=lambda: results.append(train(experiment(iterations=2), tmp_path, QUIET)))
    thread.start()
    thread.join()
    assert results[0].iteration == 2


def test_accumulation_equals_the_whole_batch(tmp_path):
    for parts in (1, 2, 4):
        torch.manual_seed(3)
        model = Small(norm=False, dropout=0.0)
        train(experiment(model, accumulate=parts, test=False), tmp_path / str(parts), QUIET)
    one, two, four = (read_checkpoint(tmp_path / str(parts) / "last.pt")["state_dict"] for parts in (1, 2, 4))
    for name, value in one.items():
        assert torch.allclose(value, two[name], atol=1e-5)
        assert torch.allclose(value, four[name], atol=1e-5)


def test_two_processes_give_the_gradients_of_one(tmp_path):
    gradients_of_one_step(tmp_path, 1)
    command = [
        sys.executable, "-m", "torch.distributed.run", "--nproc_per_node=2", "--master_port=29617",
        str(Path(__file__).with_name("small.py")), str(tmp_path),
    ]  # fmt: skip
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[2])}
    subprocess.run(command, check=True, capture_output=True, env=environment, timeout=120)
    one, two = (torch.load(tmp_path / f"gradients{n}.pt") for n in (1, 2))
    assert any(float(value.abs().max()) > 1e-3 for value in one.values())
    for name, value in one.items():
        assert torch.allclose(value, two[name], atol=1e-5), name


def test_nan_stops_with_the_batch_saved(tmp_path):
    described = experiment(Small(poison="train-000001"), iterations=50, test=False)
    with pytest.raises(NotFiniteError, match=r"loss not finite at step \d+: .*bad_batch.pt"):
        train(described, tmp_path, QUIET)
    batch = torch.load(tmp_path / "bad_batch.pt")
    assert batch[0]["video"] == "train-000001"
    assert batch[0]["frames"][0]["image"].shape == (3, 64, 64)
    assert "boxes" in batch[0]["frames"][0]["instances"]


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_mixed_precision(tmp_path, precision):
    """The networks run in low precision; weights, and the boxes that are learnt, stay in full."""
    described = experiment(iterations=3, precision=precision)
    seen = []
    described.model.register_forward_pre_hook(lambda _, clips: seen.append(clips[0][0][0].instances.boxes))
    described.model.out.register_forward_hook(lambda _, inputs, output: seen.append(output))
    result = train(described, tmp_path, QUIET)
    assert result.iteration == 3
    kinds = {"bf16": torch.bfloat16, "fp16": torch.float16}
    assert [value.dtype for value in seen[:2]] == [torch.float32, kinds[precision]]
    truths = [
        read_frame(record, i).instances.boxes for record in described.train_data.dataset.records for i in range(6)
    ]
    assert any(flipped(seen[0], truth) for truth in truths)
    assert all(value.dtype == torch.float32 for value in read_checkpoint(tmp_path / "best.pt")["state_dict"].values()
               if value.is_floating_point())  # fmt: skip


def flipped(boxes, truth):
    """Whether the boxes are those of the truth, or their mirror image in 64 pixels, to the last bit."""
    mirror = torch.stack([64 - truth[:, 2], truth[:, 1], 64 - truth[:, 0], truth[:, 3]], dim=1)
    return torch.equal(boxes, truth) or torch.equal(boxes, mirror)


def test_workers_and_tensorboard(tmp_path):
    options = replace(QUIET, workers=2, tensorboard=True)
    train(experiment(iterations=4), tmp_path / "two", options)
    train(experiment(iterations=4), tmp_path / "none", QUIET)
    assert losses(tmp_path / "two") == losses(tmp_path / "none")
    assert list((tmp_path / "two" / "tensorboard").glob("events.*"))


def test_logs_hold_every_step_once_after_a_resume(tmp_path):
    """A run that is killed after its last checkpoint has logged steps that are done again."""
    options = replace(QUIET, tensorboard=True)
    train(experiment(iterations=3, evaluate_every=1), tmp_path, options)
    kept = (tmp_path / "last.pt").read_bytes()
    train(experiment(iterations=6, evaluate_every=1), tmp_path, replace(options, resume=True))
    (tmp_path / "last.pt").write_bytes(kept)
    train(experiment(iterations=8, evaluate_every=1), tmp_path, replace(options, resume=True))
    rows = read_log(tmp_path)
    for kind in ("train", "test"):
        assert [row["iteration"] for row in rows if row["kind"] == kind] == list(range(8))
    with (tmp_path / "log.csv").open() as file:
        table = list(csv.DictReader(file))
    assert [row["iteration"] for row in table] == [str(row["iteration"]) for row in rows]
    assert [float(row["loss"]) for row in table if row["kind"] == "train"] == losses(tmp_path)
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    shown = events.Scalars("train/loss")
    assert [event.step for event in shown] == list(range(8))
    assert [event.value for event in shown] == pytest.approx(losses(tmp_path))
    assert [event.step for event in events.Scalars("test/closeness")] == list(range(8))


def test_a_full_disk_and_a_folder_that_is_none_are_told_before_the_first_step(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        train(experiment(), tmp_path / "file" / "run", QUIET)
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1000))
    with pytest.raises(OSError, match=r"run: 0 MB are free on this disk, the checkpoints of the run need \d+ MB"):
        train(experiment(), tmp_path / "run", QUIET)
    assert not (tmp_path / "run" / "last.pt").exists()


def test_errors(tmp_path):
    described = experiment()
    described.train_data = None
    with pytest.raises(ValueError, match="no training data"):
        train(described, tmp_path, QUIET)
    with pytest.raises(ValueError, match="batch of 4 cannot be shared out to 3 processes"):
        micro_batch(experiment().schedule, 3)
    train(experiment(iterations=1, ema_decay=0.9), tmp_path, QUIET)
    with pytest.raises(CheckpointError, match="with a moving average"):
        train(experiment(iterations=2), tmp_path, replace(QUIET, resume=True))
