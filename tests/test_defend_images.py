"""`featinv defend` with images: the audit's suite on defended vectors, its rates, and the slider."""

import dataclasses
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from defend_vectors import measured, write_images

import featinv as fi
from featinv.audit import suite
from featinv.audit.adapted import defended_suite
from featinv.audit.suite_entry import Materials
from featinv.defend import DefendSettings, run_defend
from featinv.defend.attacking import rates_of, to_attack
from featinv.defend.measurement import Sweep
from featinv.defend.verdicts import judge
from featinv.evaluation import Interval
from featinv.evaluation.attack_score import AttackScore


@pytest.fixture(scope="module", autouse=True)
def quick() -> Any:
    """A thousand random features take most of the seconds of a tiny audit."""
    patch = pytest.MonkeyPatch()
    patch.setattr(suite, "RANDOM_FEATURES", 20)
    yield
    patch.undo()


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, DefendSettings]:
    root = tmp_path_factory.mktemp("images")
    sides = write_images(root)
    settings = DefendSettings(
        **sides, out=str(root / "out"), defences="Codebook:bits=2", policy="top1<=20%", keep="none", minutes=2, size=32
    )

    def closed_forms(
        features: str,
        public_features: str,
        public: str,
        private: str,
        out: str,
        *,
        minutes: float,
        undefended: tuple[str, str] | None,
        **rest: Any,
    ) -> fi.Scoreboard:
        """Attack with the closed forms alone: they take no minutes."""
        asked = {"features": features, "public_features": public_features, "public": public, "private": private}
        audit = fi.audit.AuditSettings(**asked, out=out, minutes=minutes, named="none", show_images=False, **rest)
        return fi.audit.run_audit(audit, suite=[entry for entry in suite.SUITE if not entry.share]).board

    run_defend(settings, attack=closed_forms)
    return root / "out", settings


def test_the_suite_is_an_attacker_and_stays_below_the_ceiling(run: tuple[Path, DefendSettings]) -> None:
    found = fi.defend.read_decision(run[0])
    by_label = {one["label"]: one for one in found["settings"]}
    for label in ("Identity", "Codebook:bits=2"):
        images = {name: rates for name, rates in by_label[label]["attacks"].items() if name.startswith("images by ")}
        assert images
        for rates in images.values():
            for k, rate in rates.items():
                assert rate["low"] <= by_label[label]["ceilings"][k]
    codes = fi.load_features(run[0] / "attacked" / fi.files.folder_name("Codebook:bits=2") / "private.npz")
    assert len(np.unique(codes.features, axis=0)) <= 4
    assert codes.ids is not None


def test_the_page_shows_private_images_says_so_and_has_a_slider(run: tuple[Path, DefendSettings]) -> None:
    page = (run[0] / "report.html").read_text(encoding="utf-8")
    assert "This page shows private images" in page
    assert page.count('class="slide') == 3  # the frame and two settings
    assert "script-src 'unsafe-inline'" in page
    assert not re.search(r"(src|href)=\"(?!data:|#)", page)


def test_images_need_a_suite(run: tuple[Path, DefendSettings]) -> None:
    with pytest.raises(fi.BadInput, match="pass attack="):
        run_defend(run[1])


class Board:
    """As much of a scoreboard as rates are read from."""

    def __init__(self, gallery: int, rows: list[AttackScore]) -> None:
        self.protocol = {
            "gallery": gallery,
            "judges": [{"name": "first", "sibling": False}, {"name": "second", "sibling": False}],
        }
        self.attacks = rows


def row(name: str, first: float, second: float, role: str = "attack") -> AttackScore:
    rates = [{"reid_top10": Interval(low + 0.02, low, low + 0.04, 100)} for low in (first, second)]
    return AttackScore(name, "attack", role, rates[0], {"second": rates[1]})


def test_the_strongest_attack_counts_by_the_judge_that_finds_least() -> None:
    rows = [row("loud", 0.9, 0.1), row("steady", 0.4, 0.3), row("linkage", 1.0, 1.0, "linkage")]
    board: Any = Board(200, rows)
    found = rates_of(board, 200)
    assert {name: rates[10].low for name, rates in found.items()} == {"images by steady": 0.3}
    assert rates_of(board, 100)  # more candidates than asked: a lower bound
    assert not rates_of(board, 201)


def test_what_is_worth_training_for(run: tuple[Path, DefendSettings]) -> None:
    settings = dataclasses.replace(run[1], policy="top10<=20%")
    ones = [
        measured(label="Identity", ceiling=1.0, floor=0.99),
        measured(label="open", ceiling=0.5, floor=0.1),
        measured(label="unknown", ceiling=None, floor=0.1, kept=1.0),
        measured(label="leaks", ceiling=1.0, floor=0.8),
        measured(label="fine", ceiling=0.1, floor=0.1),
    ]
    verdicts = [judge(one, settings.asked, settings.kept) for one in ones]
    assert to_attack(Sweep(tuple(ones)), verdicts, settings) == ["Identity", "fine"]  # two minutes: two settings
    longer = dataclasses.replace(settings, minutes=60)
    assert set(to_attack(Sweep(tuple(ones)), verdicts, longer)) == {"Identity", "fine", "open", "unknown"}
    every = dataclasses.replace(longer, attack_all=True)
    assert set(to_attack(Sweep(tuple(ones)), verdicts, every)) == {one.label for one in ones}


def test_the_suite_on_files_of_vectors_is_an_audit_of_them(tmp_path: Path) -> None:
    with pytest.raises(fi.BadInput, match=r"--public: .*nowhere: expected a file or a folder"):
        fi.audit.attack_vectors(
            "v.npz", "p.npz", str(tmp_path / "nowhere"), "d", str(tmp_path / "o"), minutes=1.0, size=32
        )


@pytest.mark.slow
def test_a_defence_is_attacked_from_where_the_undefended_attack_ended(tmp_path: Path) -> None:
    """Surrogates are distilled once, and the decoder starts with the weights that the undefended one ended with."""
    sides = write_images(tmp_path)
    files = (sides["features"], sides["public_features"])
    images = (sides["public"], sides["private"])
    first = str(tmp_path / "undefended")
    fi.audit.attack_vectors(*files, *images, first, minutes=0.05, size=32)
    defended = []
    for file in files:
        vectors = fi.load_features(file)
        defended.append(str(tmp_path / f"rounded-{Path(file).name}"))
        np.savez(defended[-1], features=np.round(vectors.features, 1), ids=np.array(vectors.ids))
    base = (first, files[1])
    board = fi.audit.attack_vectors(
        *defended, *images, str(tmp_path / "defended"), minutes=0.05, size=32, undefended=base
    )
    names = {attack.name for attack in board.attacks}
    assert {"two surrogates", "denoised, then decoded", "recoloured neighbour", "nearest neighbour"} <= names
    assert not (tmp_path / "defended" / "surrogates").exists()
    entry = next(one for one in defended_suite(*base) if one.name == "two surrogates")
    pairs = fi.pair(fi.load_features(defended[1]), fi.data.folder(sides["public"], size=32))
    attack: Any = entry.build(Materials(pairs), entry.settings(pairs, 10, None, 0))
    trained: Any = fi.load_attack(tmp_path / "undefended" / "two-surrogates")
    ours, theirs = attack.decoder.state_dict(), trained.network.get_submodule("decoder").state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    assert all(parameter.requires_grad for parameter in attack.decoder.parameters())


def test_a_defence_needs_the_undefended_attack(tmp_path: Path) -> None:
    with pytest.raises(fi.BadInput, match="expected the attack 'two surrogates' on undefended vectors"):
        defended_suite(str(tmp_path), "public.npz")
