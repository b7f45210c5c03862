"""From a config's name to a trained, shipped and tested checkpoint."""

import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import fiddle as fdl
import pytest
import torch
from fiddle.experimental import serialization

from vidperc import testing
from vidperc.checkpoint import read_checkpoint
from vidperc.checkpoint.sources import SHIPPED
from vidperc.cli import main
from vidperc.engine.log import read_log
from vidperc.engine.optim import SGD
from vidperc.engine.train import RunOptions
from vidperc.models import get_config, load, override
from vidperc.shipping import _command_line, ship
from vidperc.training import changed_settings, check_resume, default_name, train

SHORT = {
    "schedule.iterations": 2, "schedule.batch_size": 2, "schedule.warmup_iterations": 1, "count": 2, "length": 2,
}  # fmt: skip
QUIET = RunOptions(workers=0, accelerator="cpu", show=False, tensorboard=False, seed=5)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    train("tiny_det", out=folder, options=QUIET, **SHORT)
    return folder


def test_the_resolved_config_is_kept(run):
    spec = importlib.util.spec_from_file_location("resolved", run / "config.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    config = module.build_config()
    assert config.schedule.iterations == 2
    assert config.train_data.dataset.records.count == 2
    assert config == serialization.load_json((run / "config.json").read_text())
    assert config != get_config("tiny_det")
    assert json.loads((run / "command.json").read_text())["overrides"]["length"] == "2"


def test_a_run_is_not_lost_where_resume_is_forgotten(run):
    before = (run / "log.jsonl").read_text()
    with pytest.raises(FileExistsError, match="holds a run: --resume goes on with it, --out FOLDER begins another"):
        train("tiny_det", out=run, options=QUIET, **SHORT)
    assert (run / "log.jsonl").read_text() == before


def test_a_run_that_goes_on_with_other_settings_says_so(run):
    resumed = replace(QUIET, resume=True, seed=6)
    config = get_config("tiny_det")
    for key, value in SHORT.items():
        override(config, key, value)
    assert changed_settings(run, config, QUIET.seed) == {}
    config.schedule.iterations = 9
    with pytest.warns(UserWarning, match="other settings than it began with: schedule.iterations 2 -> 9, seed 5 -> 6$"):
        check_resume(run, config, resumed)
    config.schedule.optimizer.lr = 0.5
    with pytest.raises(ValueError, match=r"optimiser goes on as it was saved.*: schedule.optimizer.lr 0.001 -> 0.5$"):
        check_resume(run, config, resumed)
    config.schedule.optimizer = fdl.Config(SGD)
    with pytest.raises(ValueError, match=r"schedule.optimizer 'AdamW' -> 'SGD'"):
        check_resume(run, config, resumed)


def test_weights_depend_on_the_seed_alone(run, tmp_path):
    train("tiny_det", out=tmp_path, options=QUIET, **SHORT)
    one, two = (read_checkpoint(folder / "best.pt")["state_dict"] for folder in (run, tmp_path))
    assert all(torch.equal(value, two[name]) for name, value in one.items())


def test_shipping(run, tmp_path):
    path = ship(run, "tiny_det", tmp_path)
    assert path.stat().st_size < 3e6
    facts = json.loads((tmp_path / "tiny_det.json").read_text())
    assert (facts["seed"], facts["steps"]) == (5, 2)
    assert "AP50" in facts["scores"]
    assert facts["command"].startswith("python tools/train.py")
    assert read_checkpoint(path)["state_dict"]["backbone.conv1.weight"].dtype == torch.float16
    model = load("tiny_det", checkpoint=path)
    assert next(model.parameters()).dtype == torch.float32
    with pytest.raises(ValueError, match="is a run of tiny_det, not of other"):
        ship(run, "other", tmp_path)


def test_the_command_as_it_ships():
    assert _command_line(["train", "--task", "det", "--out", "x", "a=1"]) == "python tools/train.py --task det a=1"


def test_testing_writes_predictions_and_resumes(run, tmp_path):
    options = {"checkpoint": run / "best.pt", "out": tmp_path, "sequences": ["test-000001"]}
    outcome = testing.test("tiny_det", **options)
    path = tmp_path / "predictions" / "test-000001.json"
    assert len(json.loads(path.read_text())) == 40
    assert outcome.scores == json.loads((tmp_path / "scores.json").read_text())
    before = path.stat().st_mtime_ns
    assert testing.test("tiny_det", resume=True, **options).scores == outcome.scores
    assert path.stat().st_mtime_ns == before


def test_the_command_line(tmp_path, capsys):
    arguments = ["train", "tiny_det", "--out", str(tmp_path), "--workers", "0", "--accelerator", "cpu"]
    settings = [f"{key}={value}" for key, value in SHORT.items()]
    beginning = ["--resume", "--checkpoint", str(SHIPPED / "tiny_det.pt")]  # nothing to resume: it begins with these
    assert main([*arguments, *beginning, *settings]) == 0
    assert (tmp_path / "last.pt").is_file()
    assert "tiny_det.pt: " in (told := capsys.readouterr().err)
    assert "tensors matched" in told
    assert main(["train", "tiny_dot"]) == 1
    assert "did you mean tiny_det" in capsys.readouterr().err
    assert main(["train", "--task", "det", "nonsense=3"]) == 1
    assert "no part of the model has an argument 'nonsense'" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["train", "tiny_det", "--out", "x", "word"])


def test_a_signal_to_all_processes_ends_the_run_with_its_state_kept(tmp_path):
    """Ctrl-C reaches the data workers too; they must stay until the step is done."""
    command = [sys.executable, "-m", "vidperc", "train", "tiny_det", "--out", str(tmp_path), "--workers", "1",
               "--accelerator", "cpu", "--log-every", "1", "schedule.batch_size=1"]  # fmt: skip
    process = subprocess.Popen(command, start_new_session=True, stderr=subprocess.PIPE, text=True)
    try:
        deadline = time.monotonic() + 120
        while len(read_log(tmp_path)) < 3:
            assert process.poll() is None, process.stderr.read()
            assert time.monotonic() < deadline
            time.sleep(0.2)
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(60) == 130
    finally:
        process.kill()
    assert read_checkpoint(tmp_path / "last.pt")["training"]["iteration"] >= 3


def test_every_task_has_a_tiny_model_that_trains_on_synthetic_videos():
    for task in ("det", "vid", "mot", "sot", "vis", "reid"):
        config = get_config(default_name(task))
        assert config.train_data is not None
        assert config.schedule is not None


def test_a_task_without_a_tiny_model():
    with pytest.raises(ValueError, match="a task that has a tiny model: det"):
        train(task="nothing")


@pytest.mark.parametrize("path", sorted(SHIPPED.glob("*.pt")), ids=lambda path: path.stem)
def test_shipped_checkpoints_fit_and_say_what_made_them(path):
    facts = json.loads(path.with_suffix(".json").read_text())
    assert {"command", "seed", "scores", "sha256"} <= set(facts)
    assert path.stat().st_size == facts["bytes"] <= 3e6
    config = get_config(facts["name"])
    assert config.shipped == path.name
    assert load(facts["name"]) is not None
    assert fdl.get_callable(config.schedule).__name__ == "Schedule"
