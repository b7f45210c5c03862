"""`vidperc train`."""

from __future__ import annotations

import argparse

from .options import setting
from .screen import console


def add_train(command: argparse.ArgumentParser) -> None:
    command.add_argument("name", nargs="?", help="a config's name; by default the task's tiny model")
    command.add_argument("set", nargs="*", type=setting, metavar="key=value", help="arguments to change")
    command.add_argument("--task", choices=["det", "vid", "mot", "sot", "vis", "reid"])
    command.add_argument("--out", help="folder of the run (out/train/NAME)")
    command.add_argument("--checkpoint", help="weights to begin with")
    command.add_argument("--resume", action="store_true", help="go on from last.pt in the folder of the run")
    command.add_argument("--seed", type=int, default=0)
    command.add_argument("--workers", type=int, default=2, help="processes that read data (%(default)s)")
    command.add_argument("--accelerator", default="auto", help="cpu, cuda ... (%(default)s)")
    command.add_argument("--devices", default="1", help="how many; torchrun's environment goes first")
    command.add_argument("--strategy", default="auto", help="Fabric's, as ddp_find_unused_parameters_true")
    command.add_argument("--log-every", type=int, default=10, help="steps between logged rows")
    command.add_argument("--save-every", type=float, default=300, help="seconds between checkpoints")


def run_train(options: argparse.Namespace) -> int:
    from ..engine.train import RunOptions
    from ..training import train

    if options.name is not None and "=" in options.name:  # only settings, the name is the task's
        options.set.insert(0, setting(options.name))
        options.name = None
    run = RunOptions(
        seed=options.seed, workers=options.workers, accelerator=options.accelerator, resume=options.resume,
        devices=int(options.devices) if options.devices.isdigit() else options.devices,
        log_every=options.log_every, save_every=options.save_every, strategy=options.strategy,
    )  # fmt: skip
    result = train(
        options.name, task=options.task, out=options.out, options=run, checkpoint=options.checkpoint,
        **dict(options.set),
    )  # fmt: skip
    scores = "  ".join(f"{name} {value:.4f}" for name, value in list(result.scores.items())[:4])
    console.print(f"{result.iteration} of {result.total} steps  {scores}", highlight=False)
    console.print(f"waiting for data: {100 * result.data_share:.1f} % of the time", highlight=False)
    return 128 + result.stopped if result.stopped else 0
