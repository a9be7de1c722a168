"""`featinv defend` on vectors alone: what it decides, leaves behind, refuses and reuses."""

import json
import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from alignment_clouds import cloud
from defend_vectors import CLASSES, PRIVATE, PUBLIC, clouds, write_sides
from recipe_modules import recipe

import featinv as fi
from featinv import cli
from featinv.defend import Decision, DefendSettings, numpy_lines, read_candidates, read_decision, run_defend
from featinv.defend import running as running_module

SETTINGS = [
    "GaussianNoise:std=0.2rms",
    "Codebook:bits=2",
    "PCA:k=4 + Sign",
    "RandomRotation:key=abc",
    "Microaggregate:k=50",
]


@pytest.fixture(scope="module")
def sides(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return write_sides(tmp_path_factory.mktemp("vectors"))


@pytest.fixture(scope="module")
def listed(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("defences") / "defences.yaml"
    path.write_text("".join(f"- {text}\n" for text in SETTINGS), encoding="utf-8")
    return str(path)


def settings(sides: dict[str, str], out: Path, **changes: Any) -> DefendSettings:
    return DefendSettings(**{**sides, "out": str(out), "policy": "top10<=25%", "keep": "95%", **changes})


@pytest.fixture(scope="module")
def decided(sides: dict[str, str], listed: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[Decision, Path]:
    out = tmp_path_factory.mktemp("decided") / "run"
    return run_defend(settings(sides, out, defences=listed)), out


def command(monkeypatch: pytest.MonkeyPatch, *flags: str) -> int | str | None:
    monkeypatch.setattr(sys, "argv", ["featinv", "defend", *flags])
    with pytest.raises(SystemExit) as left:
        cli.main()
    return left.value.code


def test_one_code_a_class_is_recommended(decided: tuple[Decision, Path]) -> None:
    """Four codes for four far classes keep the classes and leave 10 of 50 to be found, by counting."""
    decision, _ = decided
    assert decision.exit_code == 0
    assert decision.recommended is not None
    assert decision.recommended.label == "Codebook:bits=2"
    colours = {one.label: one.colour for one in decision.verdicts}
    assert colours["Identity"] == colours["GaussianNoise:std=0.2rms"] == colours["PCA:k=4 + Sign"] == "red"
    assert colours["RandomRotation:key=hidden"] == "red"  # by an attacker who knows 32 pairs and not the key
    codes = next(one for one in decision.sweep.measurements if one.label == "Codebook:bits=2")
    assert codes.ceiling_rates[10].mean == pytest.approx(10 * CLASSES / PRIVATE, rel=1e-6)
    assert codes.ceilings[10] == pytest.approx(10 * 4 / PRIVATE)
    assert codes.bits == 2
    assert codes.kept["probe"].mean == pytest.approx(1, abs=0.01)


def test_no_floor_exceeds_its_ceiling(decided: tuple[Decision, Path]) -> None:
    for verdict in decided[0].verdicts:
        assert verdict.ceiling is not None
        assert verdict.floor is not None
        assert verdict.floor <= verdict.ceiling


def test_the_decision_file_is_complete_and_checked(decided: tuple[Decision, Path], tmp_path: Path) -> None:
    decision, out = decided
    found = read_decision(out)
    assert found["recommended"] == "Codebook:bits=2"
    assert [one["label"] for one in found["settings"]] == [one.label for one in decision.verdicts]
    assert found["chance"] == 10 / PRIVATE
    assert "at most 20 % of images have their original among the first 10 of 200 candidates" in found["sentence"]
    assert "abc" not in (out / "decision.json").read_text(encoding="utf-8")
    for change in (
        {"schema": 2},
        {"recommended": "Identity"},
        {"settings": [{**found["settings"][2], "ceiling": None}]},
        {"settings": [{**found["settings"][2], "colour": "blue"}]},
        {"settings": [{**found["settings"][2], "floor": 1.5}]},
    ):
        (tmp_path / "decision.json").write_text(json.dumps({**found, **change}), encoding="utf-8")
        with pytest.raises(fi.BadInput, match=r"decision\.json: expected"):
            read_decision(tmp_path)


def test_the_page_says_what_was_decided_and_loads_nothing(decided: tuple[Decision, Path]) -> None:
    page = (decided[1] / "report.html").read_text(encoding="utf-8")
    assert "Released as Codebook:bits=2" in page
    assert "LLM08:2025" in page
    assert "43.6 dB" in page
    for one in decided[0].verdicts:
        assert one.label.replace("+", "+") in page
    assert "<script" not in page
    assert "http" not in page.replace("http-equiv", "").replace("https", "http").replace("http://www.w3.org", "")
    assert "abc" not in page


def test_the_saved_defence_is_the_measured_one(decided: tuple[Decision, Path], sides: dict[str, str]) -> None:
    decision, out = decided
    assert decision.recommended is not None
    defence = fi.defences.load(out / "defence")
    assert fi.defences.fingerprint(defence) == decision.recommended.fingerprint
    released = defence(torch.from_numpy(np.load(sides["features"])["features"]))
    assert len(np.unique(released.numpy(), axis=0)) == 4


@pytest.mark.parametrize(
    "text",
    [
        "Codebook:bits=2",
        "PCA:k=4,coordinates=true + Sign",
        "PCA:k=3",
        "Uniform:bits=3",
        "Clip:norm=1median + TopK:k=3",
        "RandomRotation:key=7",
        "RemoveSubspace:attribute=label",
    ],
)
def test_lines_of_numpy_do_what_the_defence_does(text: str, tmp_path: Path) -> None:
    public, labels = clouds(200, 5)
    candidate = read_candidates(text)[1]
    defence = fi.defences.fit(candidate.defence({"rms": 1.0, "median": 8.0}), public, labels)
    fi.defences.save(defence, tmp_path / "defence")
    x = clouds(50, 6)[0]
    import safetensors.numpy

    names: dict[str, Any] = {"np": np, "safetensors": safetensors, "x": x.astype(np.float64)}
    lines = numpy_lines(defence, str(tmp_path / "defence"))
    assert lines
    exec("\n".join(lines), names)  # the page tells readers to run these
    np.testing.assert_allclose(names["x"], defence(torch.from_numpy(x)).numpy(), rtol=1e-4, atol=1e-4)


def test_an_interrupted_sweep_goes_on_setting_by_setting(
    sides: dict[str, str], listed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, decided: tuple[Decision, Path]
) -> None:
    measured: list[str] = []
    real = running_module.measure_setting

    def stopped(candidate: Any, *rest: Any) -> Any:
        if len(measured) == 3:
            raise KeyboardInterrupt
        measured.append(candidate.label)
        return real(candidate, *rest)

    monkeypatch.setattr(running_module, "measure_setting", stopped)
    with pytest.raises(KeyboardInterrupt):
        run_defend(settings(sides, tmp_path, defences=listed))
    assert measured == ["Identity", *SETTINGS[:2]]
    measured.clear()
    monkeypatch.setattr(running_module, "measure_setting", lambda c, *rest: measured.append(c.label) or real(c, *rest))
    again = run_defend(settings(sides, tmp_path, defences=listed))
    assert measured == ["Identity", *SETTINGS[2:]]  # the undefended utility is measured again, to hold others against
    for ours, theirs in zip(again.sweep.measurements, decided[0].sweep.measurements, strict=True):
        assert {**ours.as_json(), "seconds": 0} == {**theirs.as_json(), "seconds": 0}
    measured.clear()
    stricter = run_defend(settings(sides, tmp_path, defences=listed, policy="top10<=6%"))
    assert not measured
    assert stricter.exit_code == 1
    assert not (tmp_path / "defence").exists()


def test_what_was_measured_on_other_vectors_is_not_reused(
    sides: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    run_defend(settings(sides, out, defences="Codebook:bits=2"))
    (tmp_path / "changed").mkdir()
    vectors, labels = clouds(PRIVATE, 9)
    np.savez(tmp_path / "changed" / "private.npz", features=vectors, labels=labels)
    changed = {**sides, "features": str(tmp_path / "changed" / "private.npz")}
    measured: list[str] = []
    real = running_module.measure_setting
    monkeypatch.setattr(running_module, "measure_setting", lambda c, *rest: measured.append(c.label) or real(c, *rest))
    run_defend(settings(changed, out, defences="Codebook:bits=2"))
    assert measured == ["Identity", "Codebook:bits=2"]


@pytest.mark.parametrize(("policy", "code"), [("top10<=25%", 0), ("top10<=8%", 1), ("top10<=2%", 2)])
def test_exit_codes(
    policy: str, code: int, sides: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flags = ["--features", sides["features"], "--public-features", sides["public_features"], "--out", str(tmp_path)]
    assert command(monkeypatch, *flags, "--policy", policy, "--keep", "95%", "--defences", "Codebook:bits=2") == code


def test_the_recipe_leaves_with_the_same_code(sides: dict[str, str], tmp_path: Path) -> None:
    path = Path(recipe("defend").__file__)
    flags = [f"--{name}={value}" for name, value in sides.items()]
    done = subprocess.run(
        [
            sys.executable,
            str(path),
            *flags,
            "--out",
            str(tmp_path / "o"),
            "--defences=Codebook:bits=2",
            "--policy=top10<=6%",
        ],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1, done.stderr
    assert "None of 2 settings meets top10<=6% and probe>=98%" in " ".join(done.stdout.split())


def test_every_setting_of_the_grid_can_be_built_and_every_family_is_there() -> None:
    grid = read_candidates(None)
    assert len(grid) >= 25
    built = [candidate.defence({"rms": 1.0, "median": 4.0}) for candidate in grid]
    used = {type(part).__name__ for defence in built for part in fi.defences.parts(defence)}
    families = {name for name in fi.defences.__all__ if isinstance(getattr(fi.defences, name), type)}
    assert used == families - {"Defence", "Learned"}


def test_settings_have_the_grammar_of_components(tmp_path: Path) -> None:
    path = tmp_path / "d.yaml"
    path.write_text("- GaussianNoise,std=0.5\n- [PCA:k=4, Sign]\n- {name: Codebook, args: {bits: 3}}\n- Sign\n")
    labels = [candidate.label for candidate in read_candidates(str(path))]
    assert labels == ["Identity", "GaussianNoise:std=0.5", "PCA:k=4 + Sign", "Codebook:bits=3", "Sign"]


BAD_DEFENCES = [
    ("", "expected a YAML list of settings"),
    ("a: 1", "expected a YAML list of settings"),
    ("- Nothing:a=1", "there is no 'Nothing'"),
    ("- GaussianNoise:sd=1", "GaussianNoise takes no such keyword"),
    ("- GaussianNoise:std=-1", "expected a finite number of at least 0"),
    ("- GaussianNoise:std=2lengths", "expected a number, or one with a unit"),
    ("- Sign\n- Sign", "got 'Sign' twice"),
    ("- [1, 2]", "expected NAME"),
    ("- {name: Sign, more: 1}", "expected NAME"),
    ("- Codebook:bits=12", "expected at least 4096 public vectors"),
    ("- PCA:k=9", "expected at most 8 components"),
    ("- Microaggregate:k=400", "expected at least"),
    ("- ProductCodes:parts=9,bits=1", "expected at most 8 parts"),
    ("- Uniform:bits=99", "bits"),
]


@pytest.mark.parametrize(("text", "words"), BAD_DEFENCES, ids=[words[:25] for _, words in BAD_DEFENCES])
def test_bad_settings_are_one_line_that_names_the_flag(
    text: str, words: str, sides: dict[str, str], tmp_path: Path
) -> None:
    path = tmp_path / "d.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(fi.BadInput) as refused:
        run_defend(settings(sides, tmp_path / "out", defences=str(path)))
    assert words in str(refused.value)
    assert str(refused.value).startswith("--defences")
    assert "\n" not in str(refused.value)


def npz(path: Path, **arrays: Any) -> str:
    np.savez(path, **arrays)
    return str(path)


def refused_inputs(folder: Path) -> list[tuple[dict[str, Any], str]]:
    private, labels = clouds(PRIVATE, 1)
    public = clouds(500, 2)[0]
    broken = private.copy()
    broken[3, 2] = np.nan
    bare = {"features": npz(folder / "bare.npz", features=private)}
    bare |= {"public_features": npz(folder / "bare_public.npz", features=public)}
    head = npz(folder / "head.npz", weight=np.ones((4, 8), np.float32))
    classes = {"one": np.zeros(PRIVATE, dtype=np.int64), "short": labels[:9], "real": labels / 3, "right": labels}
    files = {name: str(folder / f"{name}.npy") for name in classes}
    for name, values in classes.items():
        np.save(files[name], values)
    (folder / "ids.csv").write_text("id,label\n" + "\n".join(f"{row},{one}" for row, one in enumerate(labels)))
    return [
        ({**bare}, "--keep: probe>=95% needs labels"),
        ({**bare, "labels": files["one"]}, "expected at least two classes, got one"),
        ({**bare, "labels": files["short"]}, "expected a label for each of 200 vectors, got 9"),
        ({**bare, "labels": files["real"]}, "expected whole numbers or text as classes, got float64"),
        ({**bare, "labels": str(folder / "no.npy")}, "expected a file of labels, found none"),
        ({**bare, "labels": str(folder / "ids.csv")}, "names images, but"),
        ({"features": npz(folder / "nan.npz", features=broken)}, "NaN or infinity in row 3"),
        ({"features": npz(folder / "wide.npz", features=private[:, :5])}, "expected vectors of shape (5,)"),
        ({"features": npz(folder / "few.npz", features=private[:5])}, "expected at least 10 vectors, got 5"),
        ({"public_features": npz(folder / "fewer.npz", features=public[:9])}, "expected at least 50 vectors, got 9"),
        ({"public_features": npz(folder / "twin.npz", features=private)}, "got 200 that are in --features too"),
        ({"public_features": npz(folder / "same.npz", features=np.ones((60, 8), np.float32))}, "vectors that differ"),
        ({"features": str(folder / "absent.npz")}, "found none"),
        ({"policy": "top10<=4%"}, "guessing finds 5 %"),
        ({"defences": "Codebook:bits=10"}, "--defences: Codebook:bits=10: 1024 codes: expected at least 1024 public"),
        ({"defences": "ProductCodes:parts=2,bits=9"}, "512 codes: expected at least 512 public vectors, got 500"),
        ({"defences": "Microaggregate:k=201"}, "expected at least 201 vectors at once, got 200"),
        ({"defences": "PCA:k=9"}, "PCA: expected at most 8 components, the width, got k=9"),
        (
            {"head": npz(folder / "thin.npz", weight=np.ones((4, 7), np.float32))},
            "expected weights (classes, 8), one number for each",
        ),
        ({"head": npz(folder / "none.npz", bias=np.ones(4))}, "expected an array named 'weight', got bias"),
        ({"head": npz(folder / "nans.npz", weight=np.full((4, 8), np.nan, np.float32))}, "expected finite numbers"),
        ({"head": npz(folder / "names.npz", weight=np.ones((2, 8)), classes=np.array(["a", "b"]))}, "got a, b, ..."),
        ({"head": str(folder / "absent.npz")}, "--head: "),
        ({**bare, "keep": "none", "head": head}, "--head: its accuracy needs labels"),
    ]


def test_bad_input_is_one_line(sides: dict[str, str], tmp_path: Path) -> None:
    for number, (changes, words) in enumerate(refused_inputs(tmp_path)):
        with pytest.raises(fi.BadInput) as refused:
            run_defend(settings(sides, tmp_path / f"out{number}", **{"defences": "Codebook:bits=2", **changes}))
        assert words in str(refused.value)
        assert "\n" not in str(refused.value)
        assert not (tmp_path / f"out{number}" / "decision.json").exists()


def test_the_untouched_head_reads_defended_vectors(tmp_path: Path) -> None:
    """A rotation leaves nothing to a classifier that is not retrained, and all to one that is."""
    files = write_sides(tmp_path)
    vectors, labels = clouds(PUBLIC, 2)
    centres = np.stack([vectors[labels == label].mean(axis=0) for label in range(CLASSES)])
    # Rows in another order, under their names, and one class more than there are labels.
    weight = np.concatenate([centres[::-1], np.zeros((1, vectors.shape[1]))]).astype(np.float32)
    bias = np.append(-0.5 * np.square(centres[::-1]).sum(axis=1), -1e9).astype(np.float32)
    names = np.array([*map(str, range(CLASSES)[::-1]), "another"])
    np.savez(tmp_path / "head.npz", weight=weight, bias=bias, classes=names)
    (tmp_path / "list.yaml").write_text("[RandomRotation:key=1, GaussianNoise:std=0.1rms]")
    asked = {"head": str(tmp_path / "head.npz"), "keep": "head>=90%", "policy": "top1<=99%"}
    run = run_defend(settings(files, tmp_path / "out", defences=str(tmp_path / "list.yaml"), **asked))
    raw, turned, noisy = (one.utility["head"].mean for one in run.sweep.measurements)
    assert raw > 0.98
    assert noisy > 0.98
    assert turned < 0.6
    assert run.sweep.measurements[1].utility["probe"].mean > 0.98
    assert run.verdicts[1].utility_met is False
    assert "head" in (tmp_path / "out" / "report.html").read_text(encoding="utf-8")


def test_a_secret_rotation_is_undone_without_a_known_pair() -> None:
    """Public vectors are sorted, as files sorted by class are: the attacker must look at all of them."""
    public, private = cloud(3600), cloud(1000, seed=1)
    public = public[np.argsort(public[:, 0])]
    decision, _ = fi.defend.recommend(private, public, defences=["RandomRotation:key=7"], keep="none")
    attacks = decision.sweep.measurements[1].attacks
    assert attacks["nearest vector"][10].mean < 0.2
    assert attacks["aligned, no known pairs"][1].low > 0.9


BAD_FLAGS = [
    ({"keep": "head>=98%"}, "--keep: head>=98% needs the classifier"),
    ({"policy": "top10"}, "--policy: expected topK"),
    ({"keep": "more"}, "--keep: expected P%"),
    ({"gallery": 1}, "--gallery: expected"),
    ({"public": "x"}, "--private: expected the images of both sides"),
    ({"train_judge": True}, "--judge, --train-judge, --attack-all: score reconstructions"),
    ({"labels": " "}, "--labels: expected a path"),
    ({"seed": -1}, "--seed: expected"),
    ({"minutes": 0}, "--minutes: expected"),
]


@pytest.mark.parametrize(("changes", "words"), BAD_FLAGS, ids=[words for _, words in BAD_FLAGS])
def test_bad_flags_are_refused_before_anything_is_read(changes: dict[str, Any], words: str, tmp_path: Path) -> None:
    with pytest.raises(fi.BadInput) as refused:
        settings({"features": "a", "public_features": "b"}, tmp_path, **changes)
    assert str(refused.value).startswith(words)


class Wrong(torch.nn.Module):
    """Noise with a likelihood that prefers far candidates."""

    is_identity = False

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return features + 0.5 * torch.randn_like(features)

    def log_likelihood(self, released: torch.Tensor, clean: torch.Tensor) -> torch.Tensor:
        return torch.cdist(released.flatten(1).double(), clean.flatten(1).double())


class Shifted(torch.nn.Module):
    """Says that its strength is zero and changes the vectors."""

    is_identity = deterministic = True

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return features + 1


class Broken(torch.nn.Module):
    """Gives NaN."""

    deterministic = True

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return features / 0 * 0


class Unknown(torch.nn.Module):
    """Noise without a likelihood, strong enough that no attacker finds anything."""

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return 0 * features + torch.randn_like(features)


@pytest.mark.parametrize(
    ("name", "words"),
    [("Wrong", "likelihood of"), ("Shifted", "the identity at zero strength"), ("Broken", "NaN or infinity")],
)
def test_a_defence_that_is_not_what_it_says_is_refused(
    name: str, words: str, sides: dict[str, str], tmp_path: Path
) -> None:
    with pytest.raises(fi.BadInput, match=words):
        run_defend(settings(sides, tmp_path / "out", defences=f"{__name__}.{name}"))


def test_without_a_known_ceiling_nothing_passes(sides: dict[str, str], tmp_path: Path) -> None:
    decision = run_defend(settings(sides, tmp_path / "out", defences=f"{__name__}.Unknown", keep="none"))
    assert decision.verdicts[1].ceiling is None
    assert decision.verdicts[1].colour == "grey"
    assert decision.exit_code == 1
    assert "no ceiling known" in (tmp_path / "out" / "report.html").read_text(encoding="utf-8")


def test_another_folder_is_left_alone(sides: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(fi.BadInput, match="holds files"):
        run_defend(settings(sides, tmp_path, defences="Codebook:bits=2"))


def test_every_setting_is_a_flag() -> None:
    flags = cli.parse(["defend", "--features", "a", "--public-features", "b", "--out", "o", "--wandb", "offline"])
    made = DefendSettings(**{item.name: getattr(flags, item.name) for item in fields(DefendSettings)})
    assert made == DefendSettings(features="a", public_features="b", out="o", tracking={"mode": "offline"})


def test_labels_are_matched_by_ids(sides: dict[str, str], tmp_path: Path) -> None:
    from featinv.defend.labels import read_labels

    names = [f"{row:03d}.png" for row in range(40)]
    vectors = fi.Vectors(clouds(40, 1)[0], "vectors.npz", names)
    order = np.random.default_rng(0).permutation(40)
    text = tmp_path / "labels.csv"
    text.write_text("\n".join(f"{names[row]},class {row % 3}" for row in order), encoding="utf-8")
    found = read_labels(str(text), vectors)
    assert found is not None
    assert found.tolist() == [f"class {row % 3}" for row in range(40)]


def test_a_comparison_says_in_one_line_which_form(tmp_path: Path) -> None:
    images = fi.data.scenes(180, size=32, seed=3)
    public, private = images.take(range(120)), images.take(range(120, 180))
    victim = fi.Victim(fi.encoders.tiny(), fi.defences.Identity())
    pairs, release = fi.extract(victim, public), fi.release(victim, private, seed=0)
    line = fi.defend.one_line(pairs, release, ["Codebook:bits=1"], policy="top1<=10%")
    assert line.startswith("Forms of release: None of 2 settings meets top1<=10% and probe>=98% among 60 candidates")
    assert "\n" not in line
    noisy = fi.Victim(fi.encoders.tiny(), fi.defences.GaussianNoise(0.1))
    with pytest.raises(fi.BadInput, match="--defend: expected the vectors of a victim without a defence"):
        fi.defend.one_line(fi.extract(noisy, public), release, ["Sign"])


def test_the_grid_leaves_out_what_takes_minutes(sides: dict[str, str], tmp_path: Path) -> None:
    from dataclasses import replace

    from featinv.defend.inputs import open_inputs
    from featinv.defend.measuring import too_long

    inputs = open_inputs(settings(sides, tmp_path))
    assert not [candidate for candidate in read_candidates(None) if too_long(candidate, inputs)]
    private = np.broadcast_to(inputs.private[:1], (50_000, inputs.width))
    many = replace(inputs, private=private, private_labels=None)
    left = [candidate.label for candidate in read_candidates(None) if too_long(candidate, many)]
    assert left == ["Microaggregate:k=5", "Microaggregate:k=10"]
