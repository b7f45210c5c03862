"""The folders import only in the directions of docs/architecture.md."""

from __future__ import annotations

import ast
from collections.abc import Iterator

import pytest
from conftest import ROOT

# folder (or module) -> what of vidperc it may import; each may import itself
ALLOWED = {
    "structures": set(),
    "sequence": {"structures"},
    "ops": {"structures"},
    "layers": {"structures", "ops"},
    "image": {"structures", "sequence", "ops", "layers"},
    "video": {"structures", "sequence", "ops", "layers", "image"},
    "io": {"structures"},
    "data": {"structures", "ops", "io"},
    "evaluation": {"structures", "ops"},
    "checkpoint": {"structures", "sequence"},
    "zoo": {"structures"},
    "export": {"structures", "io"},
    "visualize": {"structures"},
    "engine": {"structures", "sequence", "checkpoint", "data", "evaluation", "export", "io", "visualize"},
    "models": {"sequence", "engine", "checkpoint", "zoo", "layers", "ops"},
}
# the public faces join everything
FACES = {
    "__init__",
    "__main__",
    "choose",
    "cli",
    "pipeline",
    "resume",
    "shipping",
    "testing",
    "training",
    "explain",
    "refine_files",
    "sot_tuning",
    "tuning",
}


def imports_of(path) -> Iterator[str]:
    """First part below vidperc of everything a file imports."""
    package = path.relative_to(ROOT).with_suffix("").parts
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            if node.level:
                base = package[: len(package) - node.level]
                target = (*base, *(node.module or "").split(".")) if node.module else base
                names = [target] if node.module else [(*base, alias.name) for alias in node.names]
            else:
                names = [tuple((node.module or "").split("."))]
        elif isinstance(node, ast.Import):
            names = [tuple(alias.name.split(".")) for alias in node.names]
        else:
            continue
        for name in names:
            if name[:1] in (("configs",), ("tools",), ("demo",)):
                yield name[0]
            if name[0] == "vidperc" and len(name) > 1:
                yield name[1]


FILES = sorted((ROOT / "vidperc").rglob("*.py"))


@pytest.mark.parametrize("path", FILES, ids=[str(f.relative_to(ROOT)) for f in FILES])
def test_imports_go_one_way(path):
    folder = path.relative_to(ROOT / "vidperc").parts[0].removesuffix(".py")
    if folder in FACES:
        return
    assert folder in ALLOWED, f"{folder} is not in the table of docs/architecture.md"
    wrong = {name for name in imports_of(path) if name != folder and name not in ALLOWED[folder]}
    assert not wrong, f"{path.relative_to(ROOT)} imports {sorted(wrong)}"
