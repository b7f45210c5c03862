"""Checkpoints that are published, our own, of backbones, broken, of others, or wicked."""

from __future__ import annotations

import pickle
import subprocess
import sys

import pytest
import torch
from conftest import ROOT
from torch import nn

import vidperc
from vidperc.checkpoint import CheckpointError, load_backbone, load_checkpoint, save_checkpoint
from vidperc.checkpoint.load import whole_parts
from vidperc.image.backbones import ResNet
from vidperc.zoo import published_checkpoint, zoo_rows, zoo_table

RULES = ((r"^old\.", "new."), (r"^unused", None))


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.new = nn.Linear(2, 3)


def published(**changes):
    return {"old.weight": torch.ones(3, 2), "old.bias": torch.zeros(3), "unused.x": torch.zeros(1), **changes}


def test_a_published_checkpoint_is_renamed(tmp_path):
    torch.save({"state_dict": published(), "meta": {"epoch": 12}}, tmp_path / "a.pth")
    model = Model()
    report = load_checkpoint(model, tmp_path / "a.pth", RULES)
    assert report.complete
    assert sorted(report.matched) == ["new.bias", "new.weight"]
    assert bool((model.new.weight == 1).all())


def test_our_own_form_comes_back_without_renaming(tmp_path):
    model, other = Model(), Model()
    path = save_checkpoint(model, tmp_path / "sub" / "a.pt", config="some", classes=("x", "y"), score=1.5)
    assert load_checkpoint(other, path, ((r"^new", "broken"),)).complete
    torch.testing.assert_close(other.new.weight, model.new.weight)
    content = torch.load(path, weights_only=True)
    assert content["meta"] == {"config": "some", "classes": ("x", "y"), "score": 1.5}
    assert [file.name for file in path.parent.iterdir()] == ["a.pt"]


def test_another_architecture_is_refused_with_a_report(tmp_path):
    state = published(**{"old.weight": torch.ones(4, 2), "head.weight": torch.zeros(1)})
    del state["old.bias"]
    torch.save({"state_dict": state}, tmp_path / "a.pth")
    with pytest.raises(CheckpointError) as caught:
        load_checkpoint(Model(), tmp_path / "a.pth", RULES)
    text = str(caught.value)
    assert "1 missing: new.bias" in text
    assert "1 unexpected: head.weight" in text
    assert "1 reshaped: new.weight (4, 2), the model has (3, 2)" in text
    report = load_checkpoint(Model(), tmp_path / "a.pth", RULES, strict=False)
    assert not report.complete


def test_a_truncated_file_is_refused(tmp_path):
    torch.save({"state_dict": published()}, tmp_path / "a.pth")
    whole = (tmp_path / "a.pth").read_bytes()
    for size in (0, 10, len(whole) // 2, len(whole) - 10):
        (tmp_path / "b.pth").write_bytes(whole[:size])
        with pytest.raises(CheckpointError, match=r"b\.pth"):
            load_checkpoint(Model(), tmp_path / "b.pth", RULES)


class Wicked:
    def __init__(self, path) -> None:
        self.path = path

    def __reduce__(self):
        return (exec, (f"open({str(self.path)!r}, 'w').close()",))


@pytest.mark.parametrize("zipped", [True, False])
def test_a_pickle_that_wants_to_run_code_is_refused_and_does_not(tmp_path, zipped):
    proof = tmp_path / "it_ran"
    if zipped:
        torch.save({"state_dict": published(), "x": Wicked(proof)}, tmp_path / "a.pth")
    else:
        (tmp_path / "a.pth").write_bytes(pickle.dumps({"state_dict": {}, "x": Wicked(proof)}))
    with pytest.raises(CheckpointError, match="run code"):
        load_checkpoint(Model(), tmp_path / "a.pth", RULES)
    assert not proof.exists()


def test_no_file_no_tensors_no_dictionary(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nothing\.pth"):
        load_checkpoint(Model(), tmp_path / "nothing.pth")
    torch.save({"state_dict": {}}, tmp_path / "a.pth")
    with pytest.raises(CheckpointError, match="no tensors"):
        load_checkpoint(Model(), tmp_path / "a.pth")
    torch.save([1, 2], tmp_path / "a.pth")
    with pytest.raises(CheckpointError, match="list"):
        load_checkpoint(Model(), tmp_path / "a.pth")


def test_backbones_of_classifiers_and_detectors(tmp_path):
    source, target = ResNet(18, base_channels=8), ResNet(18, base_channels=8)
    state = {name: value for name, value in source.state_dict().items() if "num_batches" not in name}
    classifier = {**state, "fc.weight": torch.zeros(10, 64), "fc.bias": torch.zeros(10)}
    detector = {**{f"backbone.{name}": value for name, value in state.items()}, "neck.x": torch.zeros(1)}
    for content in (classifier, {"state_dict": detector}):
        torch.save(content, tmp_path / "a.pth")
        with torch.no_grad():
            target.conv1.weight.zero_()
        assert load_backbone(target, tmp_path / "a.pth").complete
        torch.testing.assert_close(target.conv1.weight, source.conv1.weight)
    with pytest.raises(CheckpointError, match="reshaped"):
        load_backbone(ResNet(18, base_channels=16), tmp_path / "a.pth")
    with pytest.raises(CheckpointError, match="no ImageNet weights of 'resnet51'"):
        load_backbone(target, "torchvision://resnet51")


def test_the_names_of_torchvision_resnets_are_ours():
    from torchvision.models import resnet50

    with torch.device("meta"):
        theirs, ours = resnet50().state_dict(), ResNet(50).state_dict()
    assert {name: v.shape for name, v in ours.items()} == {
        name: v.shape for name, v in theirs.items() if not name.startswith("fc.")
    }


def test_unknown_names_offer_near_ones():
    with pytest.raises(KeyError, match="faster_rcnn_r50_fpn_1x_coco"):
        vidperc.load("faster_rcnn_r50_fpn_1x_cocoo")


def test_the_zoo_table():
    assert len(zoo_table()) > 400
    rows = zoo_rows(method="cascade mask")
    assert rows
    assert all("cascade mask" in row.method.lower() for row in rows)
    row = zoo_rows(where=lambda row: row.name == "faster_rcnn_r50_fpn_1x_coco")[0]
    assert row.metrics["box_ap"] == 37.4
    url = published_checkpoint("faster_rcnn_r50_fpn_1x_coco")
    assert url.endswith("faster_rcnn_r50_fpn_1x_coco_20200130-047c8118.pth")
    assert published_checkpoint("faster-rcnn_r50_fpn_1x_coco.py") == url
    with pytest.raises(KeyError, match="not in the table"):
        published_checkpoint("nothing")


def test_published_without_a_network_says_where_the_file_belongs(monkeypatch, tmp_path):
    monkeypatch.setenv("VIDPERC_CACHE", str(tmp_path))
    for variable in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(variable, "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    with pytest.raises(CheckpointError, match=f"put the file at {tmp_path}"):
        vidperc.load("rpn_r50_fpn_1x_coco", checkpoint="published")


def test_convert_checkpoint_tells_what_is_wrong(tmp_path):
    torch.save({"state_dict": published()}, tmp_path / "a.pth")
    command = [sys.executable, ROOT / "tools" / "convert_checkpoint.py", "rpn_r50_fpn_1x_coco", tmp_path / "a.pth", "b"]
    result = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert result.returncode == 1
    assert "does not fit the model" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_part_without_known_tensors_is_named_as_one():
    missing = ["flow.conv1.weight", "flow.conv1.bias", "head.a.weight", "head.a.bias", "head.b.weight", "last.bias"]
    known = ["backbone.weight", "head.b.bias", "last.weight"]
    assert whole_parts(missing, known) == ["flow.* (2)", "head.a.* (2)", "head.b.weight", "last.bias"]
    assert whole_parts(["weight"], ["weight.of"]) == ["weight"]
    assert whole_parts(["a.b", "a.c"], []) == ["a.* (2)"]
