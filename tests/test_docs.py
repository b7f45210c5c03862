"""The examples of docs/api.md run, in order, in an empty folder."""

from __future__ import annotations

import re

import pytest
from conftest import ROOT

BLOCKS = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "api.md").read_text(encoding="utf-8"), flags=re.DOTALL)


def test_api_examples_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    assert len(BLOCKS) >= 6
    for number, block in enumerate(BLOCKS):
        try:
            exec(compile(block, f"docs/api.md, example {number + 1}", "exec"), names)
        except Exception as error:
            pytest.fail(f"example {number + 1} of docs/api.md: {type(error).__name__}: {error}")
    assert (tmp_path / "out" / "tracks.json").is_file()
    assert (tmp_path / "own" / "tracks.mp4").is_file()


@pytest.mark.parametrize("page", [*sorted((ROOT / "docs").glob("*.md")), ROOT / "README.md", ROOT / "CONTRIBUTING.md"])
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8")):
        if not target.startswith("http"):
            assert (page.parent / target).exists(), f"{page.name}: no {target}"
