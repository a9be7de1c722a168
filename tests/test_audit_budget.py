"""A budget in images decides for itself, and what a budget left out is named wherever an audit says that it passed."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from torch import Tensor

import featinv as fi
from featinv.audit import checklist, suite, text
from featinv.audit.record import Record
from featinv.audit.suite_entry import Materials, Situation, SuiteEntry
from featinv.training.settings import Training

PUBLIC, PRIVATE, SIZE = 120, 100, 32
FAST = ("mean image", "nearest neighbour")


class Finds:
    """An attack that returns the very originals: the strongest that there can be."""

    kind, parameters = "attack", 0

    def __init__(self, vectors: np.ndarray, images: Tensor) -> None:
        self.vectors, self.images = vectors, images

    def fit(self, pairs: fi.Pairs) -> "Finds":
        del pairs
        return self

    def reconstruct(self, features: np.ndarray) -> Tensor:
        distances = np.square(np.asarray(features)[:, None] - self.vectors[None]).sum(-1)
        return self.images[distances.argmin(1)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Synthetic scenes of both sides with the packaged encoder's vectors."""
    root = tmp_path_factory.mktemp("base")
    images = fi.data.scenes(PUBLIC + PRIVATE, size=SIZE, seed=5)
    rows = {"public": range(PUBLIC), "private": range(PUBLIC, PUBLIC + PRIVATE)}
    for side, numbers in rows.items():
        (root / side).mkdir()
        names = [f"{row:03d}.png" for row in numbers]
        for row, name in zip(numbers, names, strict=True):
            Image.fromarray(images.uint8([row])[0]).save(root / side / name)
        features = fi.encoders.tiny()(images.batch(np.array(numbers))).numpy()
        np.savez(root / f"{side}.npz", features=features, ids=np.array(names))
    return root


@pytest.fixture
def entries(folder: Path) -> tuple[SuiteEntry, ...]:
    """Closed forms, and the strongest attack, which takes 50 minutes."""

    def build(materials: Materials, training: Training) -> Any:
        del materials, training
        private = fi.data.folder(folder / "private", size=SIZE)
        return Finds(np.load(folder / "private.npz")["features"], private.batch(np.arange(len(private))))

    closed = (entry for entry in suite.SUITE if entry.name in FAST)
    return (*closed, SuiteEntry("strongest", build, least_minutes=suite.LONG_ENOUGH))


def settings(folder: Path, out: Path, **changes: Any) -> fi.audit.AuditSettings:
    files = {"features": str(folder / "private.npz"), "public_features": str(folder / "public.npz")}
    sides = {side: str(folder / side) for side in ("public", "private")}
    usual: dict[str, Any] = {"out": str(out), "size": SIZE, "named": "none", "show_images": False}
    return fi.audit.AuditSettings(**{**files, **sides, **usual, **changes})


def plan(minutes: float, images: int | None, **changes: Any) -> suite.SuitePlan:
    usual: dict[str, Any] = {"public": 1000, "feature_shape": (64,), "image_size": 32}
    situation = Situation(**{**usual, "labelled": True, "white_box": True, **changes})
    return suite.plan_suite(minutes, situation, images=images)


@pytest.mark.parametrize("minutes", [0.5, 30, 49, 600])
def test_a_budget_in_images_tries_every_attack_that_applies(minutes: float) -> None:
    asked = plan(minutes, 20_000)
    assert asked.names == tuple(entry.name for entry in suite.SUITE)
    assert (asked.left_out, asked.over_budget, asked.minutes, asked.untried) == ({}, (), {}, "")
    assert asked.trained == ("pixels", "listik", "through the victim", "two surrogates", "identify")


@pytest.mark.parametrize("changes", [{"public": 499}, {"feature_shape": (9000,)}])
def test_what_does_not_apply_is_not_called_a_matter_of_budget(changes: dict[str, Any]) -> None:
    for asked in (plan(30, 20_000, **changes), plan(30, None, **changes), plan(600, None, **changes)):
        assert "identify" in asked.left_out
        assert "minutes" not in asked.left_out["identify"]
        assert asked.over_budget == ()


def test_few_minutes_leave_it_out_and_say_so() -> None:
    asked = plan(49, None)
    assert asked.over_budget == ("identify",)
    assert asked.untried == ("'identify' was not tried (it takes 50 minutes of training or more, all attacks together)")
    assert "identify" not in asked.trained


def test_the_strongest_attack_keeps_a_gate_from_passing_where_the_budget_is_in_images(
    folder: Path, tmp_path: Path, entries: tuple[SuiteEntry, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    """The default of 30 minutes, which nobody gave, may not leave it out."""
    asked = settings(folder, tmp_path / "run", images=5000, max_level="L3")
    outcome = fi.audit.run_audit(asked, suite=entries)
    assert outcome.exit_code == 1
    assert outcome.board.leak_level is not None
    assert outcome.board.leak_level.row == "strongest"
    assert "minutes of training, 5,000 images a training, after" in outcome.board.leak_level.budget
    assert "over_budget" not in outcome.board.protocol
    assert "Left out: strongest" not in capsys.readouterr().out


def test_a_pass_names_what_the_budget_left_out(
    folder: Path, tmp_path: Path, entries: tuple[SuiteEntry, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    why = "it takes 50 minutes of training or more, all attacks together"
    asked = settings(folder, tmp_path / "run", minutes=30, max_level="L3")
    for first in (True, False):  # and again where the finished audit is shown
        outcome = fi.audit.run_audit(asked, suite=entries)
        assert outcome.exit_code == 0
        said = " ".join(capsys.readouterr().out.split())
        assert f"Left out: strongest, because {why}." in said
        assert f"For want of budget, 'strongest' was not tried ({why}); it may show more." in said
        assert "PASSED: level L2, where --max-level allows L3." in said
        assert "This holds without 'strongest', which the budget left out." in said
        assert not first or f"to their planned images; 'strongest' was not tried ({why})." in said
    assert outcome.board.protocol["over_budget"] == {"strongest": why}
    for report in ("report.md", "report.html"):
        words = " ".join((tmp_path / "run" / report).read_text().replace("&#x27;", "'").replace("&#39;", "'").split())
        assert f"For want of budget, 'strongest' was not tried ({why})" in words, report


@pytest.mark.parametrize(("images", "flag"), [(None, "--minutes"), (100, "--images")])
def test_who_is_starved_is_told_the_flag_that_was_given(tmp_path: Path, images: int | None, flag: str) -> None:
    asked = plan(600, images)
    record = Record(tmp_path)
    record.begin({}, asked, None)
    for name in asked.trained:
        record.images[name] = record.seen[name] = 100
    for name in asked.names:
        record.seconds[name] = 1.0
    check = checklist.check_attacks(asked, record, None, public=1000)
    assert not check.passed
    assert f"'identify' saw 100 images, fewer than the 1,000 public ones (give more {flag})" in check.text
    record.images["identify"] = 200
    assert (
        f"'identify' saw 100 of 200 planned images (give more {flag})"
        in checklist.check_attacks(asked, record, None, public=10).text
    )
    assert f"identify 0.1 times; give more {flag})" in text.about_passes({"identify": 0.1}, images)[0]
