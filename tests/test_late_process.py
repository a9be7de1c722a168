"""A process that looks late, when the main one has just saved what it looks for, takes the same way as the others.

Once `recipes/compare.py` hung: a late process found an attack just saved, loaded it and skipped the barrier.
"""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from evaluation_parts import some_images
from recipe_modules import recipe

import featinv as fi
from featinv.assembly import JudgeSettings, build_judges
from featinv.configuration import Component

ROOT = Path(__file__).parent.parent
TOGETHER = {"barrier", "broadcast", "gather"}


class Late:
    """Stands for process 1 of 2, which comes to look after the main process has saved: notes what it takes part in."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls: list[str] = []
        monkeypatch.setattr(fi.processes, "is_main", lambda: False)
        monkeypatch.setattr(fi.processes, "barrier", lambda: self.calls.append("barrier"))
        # The main process looked before there was anything.
        monkeypatch.setattr(fi.processes, "broadcast", lambda value: self.calls.append("broadcast") or False)


def test_a_judge_that_was_just_trained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "judge.safetensors"
    fi.encoders.save_judge(fi.encoders.judge("scenes-vgg"), file)
    late = Late(monkeypatch)
    settings = JudgeSettings(judge=Component("judge", {"source": str(file)}), train=True)
    build_judges({"own": settings}, some_images(8))
    assert late.calls == ["broadcast", "barrier"]


def test_an_attack_that_was_just_saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compare: Any = recipe("compare")
    pixels = np.zeros((4, 8, 8, 3), dtype=np.uint8)
    encoder = fi.encoders.wrap(_means(), name="means", family="means", input_size=8)
    pairs = fi.extract(fi.Victim(encoder), fi.data.ImageSet(pixels, ids=list("abcd")))
    config = compare.Config(out=str(tmp_path / "run"))
    run = fi.assembly.RunFolder(config.out, config)
    fi.save_attack(fi.attacks.MeanImage().fit(pairs), run.folder("mean"))
    late = Late(monkeypatch)
    compare.fit(fi.attacks.MeanImage(), "mean", pairs, run, config, None)
    assert late.calls == ["broadcast", "barrier"]


def _means() -> Any:
    import torch

    return torch.nn.AvgPool2d(4)


def _functions() -> Iterator[tuple[str, ast.FunctionDef]]:
    for file in sorted([*(ROOT / "recipes").rglob("*.py"), *(ROOT / "featinv").rglob("*.py")]):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef):
                yield f"{file.relative_to(ROOT)}: {node.name}", node


def _called(node: ast.AST) -> set[str]:
    calls = [one.func for one in ast.walk(node) if isinstance(one, ast.Call)]
    return {f.attr if isinstance(f, ast.Attribute) else getattr(f, "id", "") for f in calls}


def _each_looks_for_itself(function: ast.FunctionDef) -> bool:
    """Say whether a function decides by a file whether its process meets the others, without asking the main one."""
    if not _called(function) & TOGETHER:
        return False
    for node in ast.walk(function):
        if (
            isinstance(node, ast.If)
            and _called(node.test) & {"is_file", "exists"}
            and not _called(node.test) & TOGETHER
        ):
            returns = any(isinstance(one, ast.Return) for one in ast.walk(node))
            if returns or _called(ast.Module(node.body, [])) & TOGETHER:
                return True
    return False


def test_wherever_processes_meet_the_main_one_looks_for_all() -> None:
    assert [name for name, function in _functions() if _each_looks_for_itself(function)] == []


def test_the_search_finds_the_pattern() -> None:
    bad = "def f():\n    if file.is_file():\n        return 1\n    barrier()\n"
    good = "def f():\n    if broadcast(file.is_file()):\n        return 1\n    barrier()\n"
    found = [_each_looks_for_itself(ast.parse(text).body[0]) for text in (bad, good)]  # type: ignore[arg-type]
    assert found == [True, False]
