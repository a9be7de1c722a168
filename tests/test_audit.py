"""The publisher's one command: exit codes, what it leaves, what it refuses, and that it goes on where it was."""

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import featinv as fi
from featinv import cli
from featinv.audit import suite
from featinv.audit.fitting import steady_rate
from featinv.audit.suite_entry import Materials, Situation

PUBLIC, PRIVATE = 90, 40
MINUTES = "0.02"


def command(monkeypatch: pytest.MonkeyPatch, *flags: str) -> int | str | None:
    monkeypatch.setattr(sys, "argv", ["featinv", "audit", *flags])
    with pytest.raises(SystemExit) as left:
        cli.main()
    return left.value.code


def write(images: fi.data.ImageSet, folder: Path, rows: range, *, classes: bool) -> None:
    for row in rows:
        place = folder / images.classes[int(images.labels[row])] if classes else folder
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(images.uint8([row])[0]).save(place / f"{row:03d}.png")


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """public/ in one folder a class, private/ without classes."""
    root = tmp_path_factory.mktemp("images")
    images = fi.data.scenes(PUBLIC + PRIVATE, size=32, seed=11)
    write(images, root / "public", range(PUBLIC), classes=True)
    write(images, root / "private", range(PUBLIC, PUBLIC + PRIVATE), classes=False)
    return root


@pytest.fixture(scope="module", autouse=True)
def quick() -> Any:
    """A thousand random features take most of the seconds of a tiny audit."""
    patch = pytest.MonkeyPatch()
    patch.setattr(suite, "RANDOM_FEATURES", 20)
    yield
    patch.undo()


def flags(images: Path, out: Path, *more: str) -> list[str]:
    sides = ["--public", str(images / "public"), "--private", str(images / "private")]
    return [*sides, "--minutes", MINUTES, "--out", str(out), *more]


@pytest.fixture(scope="module")
def audited(images: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One audit of the packaged encoder, to be looked at by many tests."""
    out = tmp_path_factory.mktemp("audited") / "run"
    fi.audit.run_audit(
        fi.audit.AuditSettings(
            out=str(out),
            public=str(images / "public"),
            private=str(images / "private"),
            victim="tiny",
            minutes=float(MINUTES),
        )
    )
    return out


@pytest.mark.slow
def test_it_leaves_scoreboard_level_and_report(audited: Path) -> None:
    board = fi.load_scoreboard(audited)
    level = board.leak_level
    assert level is not None
    assert level.named == "two surrogates"
    assert {"pixels", "listik", "through the victim", "two surrogates"} <= {row.name for row in board.attacks}
    assert board["predicted-class mean"].kind == board["16 neighbours averaged"].kind == "control"
    assert any("adversary" in line for line in level.not_tried)
    assert "minutes of training, of 0.02 allowed" in level.budget
    assert "knows no photographs" in board.protocol["warning"]
    # Two seconds are too few, and the report says so.
    assert "too little time: some attacks saw the public images fewer than 5 times" in level.sentence
    for text in ((audited / "report.html").read_text(), (audited / "report.md").read_text()):
        assert "knows no photographs" in text
        assert "minutes of training, of 0.02 allowed" in text or "time to fit" in text
    assert not (audited / "checkpoints").exists()
    # Decoded private images lie about nowhere but in what the report shows.
    assert not (audited / "images").exists()


@pytest.mark.slow
def test_the_plan_was_written_down_and_its_shares_add_up(audited: Path) -> None:
    record = json.loads((audited / "audit.json").read_text())
    assert sum(record["plan"]["minutes"].values()) == pytest.approx(float(MINUTES))
    # What the closed forms took is shared among the others, which have at least a quarter of the minutes.
    closed = sum(record["seconds"][name] for name in record["plan"]["closed"]) / 60
    total = max(float(MINUTES) - closed, 0.25 * float(MINUTES))
    each = dict(record["minutes"])
    each["two surrogates"] += 2 * each.pop("two surrogates: each surrogate")
    assert each == pytest.approx(
        {name: share * total / float(MINUTES) for name, share in record["plan"]["minutes"].items()}
    )
    assert record["named"] == "two surrogates"
    assert set(record["seconds"]) == {*record["plan"]["closed"], *record["plan"]["minutes"]}
    assert (
        set(record["images"]) == set(record["seen"]) == {*record["plan"]["minutes"], "two surrogates: each surrogate"}
    )


@pytest.mark.slow
def test_a_finished_audit_shows_again_and_is_held_against_a_level(
    audited: Path, images: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The gate is the order of the levels, and nothing is trained again."""

    def never(*_: Any, **__: Any) -> Any:
        raise AssertionError("trained again")

    monkeypatch.setattr(fi.audit.running, "measured", never)
    level = fi.load_scoreboard(audited).leak_level
    assert level is not None
    order = ["none", "L1", "L2", "L3", "L4"]
    reached = 0 if level.level == "not shown" else order.index(level.level)
    record = json.loads((audited / "audit.json").read_text())
    starved = any(
        record["seen"][name] < max(0.9 * planned, record["inputs"]["the public images"]["count"])
        for name, planned in record["images"].items()
    )
    for place, limit in enumerate(order):
        code = command(monkeypatch, *flags(images, audited, "--victim", "tiny", "--max-level", limit))
        # Forty private images have no power for L3 and L4: only what allows every level asks for none.
        assert code == (1 if reached > place else 2 if limit != "L4" or starved else 0), limit
        said = capsys.readouterr().out
        assert level.sentence.split()[0] in said
        assert ("FAILED" in said) == (reached > place)
        assert str(audited / "report.html") in said
    assert command(monkeypatch, *flags(images, audited, "--victim", "tiny")) == 0


@pytest.mark.slow
def test_a_finished_audit_of_other_images_is_not_shown(
    audited: Path, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A gate must not pass on yesterday's images in the same folder."""
    shutil.copytree(images, tmp_path / "images")
    shutil.copytree(audited, tmp_path / "run")
    sides = [str(images), str(tmp_path / "images")]
    text = (tmp_path / "run" / "run.json").read_text().replace(*sides)
    (tmp_path / "run" / "run.json").write_text(text)
    assert command(monkeypatch, *flags(tmp_path / "images", tmp_path / "run", "--victim", "tiny")) == 0
    (tmp_path / "images" / "private" / f"{PUBLIC:03d}.png").unlink()
    assert command(monkeypatch, *flags(tmp_path / "images", tmp_path / "run", "--victim", "tiny")) == 2
    assert "holds an audit of other inputs (the private images differ now)" in capsys.readouterr().err


@pytest.mark.slow
def test_an_audit_that_was_killed_goes_on_with_the_same_surrogates(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed while the last attack trained: what was fitted and distilled before is not made again."""
    import featinv.audit.fitting as fitting

    class Killed(BaseException):
        pass

    def killed(fitter: Any, entry: Any) -> Any:
        if entry.name == "two surrogates":
            fitter._surrogates(entry)
            raise Killed
        return made(fitter, entry)

    made = fitting.SuiteFitter._fitted
    out = tmp_path / "run"
    asked = [*flags(images, out), "--victim", "tiny"]
    monkeypatch.setattr(fitting.SuiteFitter, "_fitted", killed)
    monkeypatch.setattr(sys, "argv", ["featinv", "audit", *asked])
    with pytest.raises(Killed):
        cli.main()
    before = {file: file.read_bytes() for file in out.rglob("*.safetensors")}
    planned = json.loads((out / "audit.json").read_text())["minutes"]
    assert {file.parent.name for file in before} >= {"surrogates", "pixels", "listik", "through-the-victim", "ridge"}
    monkeypatch.setattr(fitting.SuiteFitter, "_fitted", made)
    monkeypatch.setattr(fi.presets, "distil_two", lambda *_: pytest.fail("distilled again"))
    assert command(monkeypatch, *asked) == 0
    assert {file: file.read_bytes() for file in before} == before
    assert json.loads((out / "audit.json").read_text())["minutes"] == planned
    assert (out / "two-surrogates" / "attack.json").is_file()


@pytest.mark.slow
def test_the_bank_of_identify_is_trained_and_kept(images: Path, tmp_path: Path) -> None:
    entry = next(entry for entry in suite.SUITE if entry.name == "identify")
    tried = replace(entry, least_minutes=0, left_out=lambda situation: "")
    closed = [entry for entry in suite.SUITE if entry.name == "nearest neighbour"]
    sides = {side: str(images / side) for side in ("public", "private")}
    settings = fi.audit.AuditSettings(
        out=str(tmp_path / "run"), victim="tiny", minutes=float(MINUTES), named="identify", **sides
    )
    fi.audit.run_audit(settings, suite=[*closed, tried])
    record = json.loads((tmp_path / "run" / "audit.json").read_text())
    assert record["seen"]["identify: each surrogate"] >= 1
    assert record["images"]["identify"] >= 1
    kept = {file.stem for file in (tmp_path / "run" / "surrogates").iterdir()}
    assert kept == set(entry.networks.files)
    assert (tmp_path / "run" / "identify" / "attack.json").is_file()
    read = [fi.encoders.saved(tmp_path / "run" / "surrogates" / f"{name}.safetensors") for name in entry.networks.files]
    assert len({encoder.weights_fingerprint for encoder in read}) == 4


@pytest.mark.slow
@pytest.mark.parametrize("together", [True, False])
def test_vectors_computed_elsewhere(
    together: bool, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One file that names all images, shuffled, or two in the order of their images: the vectors are the same."""
    encoder = fi.encoders.tiny()
    sides = {side: fi.data.folder(images / side, size=32) for side in ("public", "private")}
    vectors = {side: encoder(kept.batch(range(len(kept)))).numpy() for side, kept in sides.items()}
    if together:
        names = [f"{side}/{name}" for side, kept in sides.items() for name in kept.ids]
        order = np.random.default_rng(0).permutation(len(names))
        every = np.concatenate([vectors["public"], vectors["private"]])
        np.savez(tmp_path / "v.npz", features=every[order], ids=np.array(names)[order])
        given = ["--features", str(tmp_path / "v.npz")]
    else:
        for side, array in vectors.items():
            np.save(tmp_path / f"{side}.npy", array)
        given = ["--features", str(tmp_path / "private.npy"), "--public-features", str(tmp_path / "public.npy")]
    out = tmp_path / "run"
    assert command(monkeypatch, *flags(images, out, *given, "--size", "32", "--no-show-images")) == 0
    assert "Left out: through the victim" in capsys.readouterr().out
    board = fi.load_scoreboard(out)
    assert "through the victim" not in [row.name for row in board.attacks]
    assert any(line.startswith("through the victim: the attacker has no layers") for line in board.leak_level.not_tried)
    assert not (out / "report_images.npz").exists()
    # The nearest neighbour is right only where every vector found its image.
    public, private = sides["public"], sides["private"]
    near, known = (vectors[side] / vectors["public"].std(0) for side in ("private", "public"))
    distances = ((near[:, None] - known[None]) ** 2).sum(2)
    originals = private.batch(range(len(private))).numpy()
    answers = public.batch(distances.argmin(1)).numpy()
    psnr = -10 * np.log10(((originals - answers) ** 2).mean((1, 2, 3)))
    assert board["nearest neighbour"].metrics["psnr"].mean == pytest.approx(psnr.mean(), abs=1e-3)


@pytest.mark.slow
def test_a_judge_can_be_trained_on_the_labelled_public_images(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = flags(images, tmp_path / "run", "--victim", "tiny", "--train-judge", "--named", "none")
    assert command(monkeypatch, *asked) == 0
    said = capsys.readouterr().out
    assert "Judged by vgg" in said, said
    assert "No attack was named beforehand" in said
    assert "scenes-vgg" not in said
    assert fi.load_scoreboard(tmp_path / "run").leak_level.named is None


def test_what_the_vectors_alone_tell_is_said_beside_the_level() -> None:
    from featinv.audit.text import readable_attributes

    def metadata(told: float, low: float, prior: float) -> dict[str, Any]:
        return {"vector": {"mean": told, "low": low, "high": 1.0, "n": 9}, "original": {}, "prior": prior}

    attributes = {
        "smile": metadata(0.6, 0.49, 0.5),
        "hair": metadata(0.5, 0.4, 0.3),
        "label": metadata(0.909, 0.89, 0.1),
    }
    said = readable_attributes({"attributes": attributes})
    assert said == "label 90.9 % (guessed 10.0 %), hair 50.0 % (guessed 30.0 %)"
    assert readable_attributes({}) == ""


@pytest.mark.parametrize(("victim", "judge"), [("vgg", "SmallMixer"), ("resnet", "SmallVGG"), (None, "SmallVGG")])
def test_a_trained_judge_is_never_of_the_victims_family(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, victim: str | None, judge: str
) -> None:
    from featinv.assembly import RunFolder
    from featinv.audit import measuring

    monkeypatch.setattr(measuring, "build_judges", lambda asked, public: list(asked.values()))
    settings = fi.audit.AuditSettings(out=str(tmp_path), victim="tiny", public="a", private="b", train_judge=True)
    public = fi.data.scenes(2)
    (asked,) = measuring._judges(settings, RunFolder(tmp_path, settings), public, victim_family=victim)
    assert (asked.train, asked.network.name) == (True, judge)


def test_bad_input_leaves_with_two_and_one_line(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "few").mkdir()
    shutil.copy(next((images / "private").iterdir()), tmp_path / "few")
    shutil.copytree(images / "public", tmp_path / "both")
    shutil.copy(images / "private" / f"{PUBLIC:03d}.png", tmp_path / "both" / "circle" / "x.png")
    np.save(tmp_path / "v.npy", np.zeros((PRIVATE, 4), np.float32))
    np.save(tmp_path / "short.npy", np.zeros((PUBLIC - 1, 4), np.float32))
    vectors, short = ["--features", str(tmp_path / "v.npy")], ["--public-features", str(tmp_path / "short.npy")]
    tiny = ["--victim", "tiny"]
    public, private = ["--public", str(images / "public")], ["--private", str(images / "private")]
    cases = {
        "auditing requires public images": [*tiny, *private],
        "--private DIR": [*tiny, *public],
        "--victim (an encoder) or --features (vectors computed elsewhere), got neither": [*public, *private],
        "got both": [*tiny, *vectors, *public, *private],
        "expected images (.png, .jpg, .webp, ...), got none": [*tiny, "--public", str(tmp_path / "empty"), *private],
        "at least 50 images, got 1": [*tiny, "--public", str(tmp_path / "few"), *private],
        "expected no image in both, got 1 (the first: public circle/x.png": [
            *tiny, "--public", str(tmp_path / "both"), *private,
        ],
        "did you mean tiny?": ["--victim", "tinny", *public, *private],
        "--size: expected a power of two": [*tiny, *public, *private, "--size", "33"],
        "--minutes: expected a finite number above 0": [*tiny, *public, *private, "--minutes", "0"],
        "--max-level": [*tiny, *public, *private, "--max-level", "L5"],
        "no attack 'gan'; there are mean image": [*tiny, *public, *private, "--named", "gan"],
        "names no images, so that nobody knows": [*vectors, *public, *private, "--size", "32"],
        "names no images, so that": [*vectors, "--public-features", str(tmp_path / "v.npy"), *public, *private,
                                   "--size", "32"],
        "89 vectors for 90 images": [*vectors, *short, *public, *private, "--size", "32"],
        "those of --features are made already": [*vectors, *public, *private, "--layer", "avgpool"],
        "without family": ["--victim", "featinv.testing.synthetic_pairs", *public, *private],
        "GaussianNoise": [*tiny, *public, *private, "--defence", "GaussianNoise:strength=1"],
        "the victim's own network": [*tiny, *public, *private, "--judge", str(own_network(tmp_path))],
    }  # fmt: skip
    for number, (words, given) in enumerate(cases.items()):
        out = ["--out", str(tmp_path / f"out{number}"), *(() if "--minutes" in given else ("--minutes", MINUTES))]
        assert command(monkeypatch, *given, *out) == 2, words
        said = capsys.readouterr().err.strip().splitlines()[-1]
        assert said.startswith("error: "), said
        assert words in said, said
        # Nothing is in the way of a second try with other flags in the same folder; vectors that exist are kept for it.
        left = {file.name for file in (tmp_path / f"out{number}").glob("*")}
        assert left <= {"run.json", ".run.lock", "release"}, (words, left)


def test_a_vector_is_of_one_image_only(tmp_path: Path) -> None:
    """Two folders may hold files of one name: ids without folders would give both the same vector."""
    from featinv.audit.file_source import open_files

    images = fi.data.scenes(4, size=32)
    public, private = images.take([0, 1]), images.take([2, 3])
    public.ids = private.ids = ("a.png", "b.png")
    features = np.arange(16, dtype=np.float32).reshape(4, 4)

    def source(*ids: str) -> Any:
        np.savez(tmp_path / "v.npz", features=features[: len(ids)], ids=np.array(ids))
        asked = fi.audit.AuditSettings("out", "x/old", "x/new", features=str(tmp_path / "v.npz"))
        return open_files(asked)

    full = source("new/b.png", "old/a.png", "old/b.png", "new/a.png")
    assert full.release(private, 0, tmp_path).features.tolist() == features[[3, 0]].tolist()
    assert full.pairs(public, tmp_path).features([0, 1]).tolist() == features[[1, 2]].tolist()
    bare = source("a.png", "b.png")
    bare.release(private, 0, tmp_path)
    with pytest.raises(fi.BadInput, match="would be of a public and of a private image .* as in old/a.png"):
        bare.pairs(public, tmp_path)
    with pytest.raises(fi.BadInput, match=r"has no vector of 1 of 2 images in x/new \(the first: 'b.png'\)"):
        source("a.png", "c.png").release(private, 0, tmp_path)


def own_network(folder: Path) -> Path:
    """The victim's weights in a judge's clothes."""
    tiny = fi.encoders.tiny()
    judge = fi.encoders.Judge(
        tiny.network, name="copy", family="other", trained_on="x", classes=[str(i) for i in range(12)], input_size=32
    )
    fi.encoders.save_judge(judge, folder / "copy.safetensors")
    return folder / "copy.safetensors"


@pytest.mark.parametrize(("white_box", "labelled"), [(True, True), (True, False), (False, True), (False, False)])
@pytest.mark.parametrize("minutes", [0.5, 30, 600])
def test_the_shares_of_the_suite_add_up(white_box: bool, labelled: bool, minutes: float) -> None:
    plan = suite.plan_suite(minutes, Situation(1000, (64,), 32, labelled, white_box))
    assert sum(plan.minutes.values()) == pytest.approx(minutes)
    assert ("through the victim" in plan.minutes) == white_box
    assert ("predicted-class mean" in plan.closed) == labelled
    assert not set(plan.names) & set(plan.left_out)
    # Nothing is dropped in silence.
    assert len(plan.names) + len(plan.left_out) == 11
    assert ("identify" in plan.minutes) == (minutes == 600)
    assert minutes == 600 or "takes 50 minutes of training" in plan.left_out["identify"]


@pytest.mark.parametrize("white_box", [True, False])
def test_no_attack_has_less_time_where_identify_is_tried_than_in_an_audit_of_30_minutes(white_box: bool) -> None:
    """A further attack may not weaken the others: it is tried only where there are minutes enough for all."""
    situation = Situation(1000, (64,), 32, labelled=True, white_box=white_box)
    usual, longer = (suite.plan_suite(minutes, situation) for minutes in (30, 50))
    assert "identify" not in usual.minutes
    assert longer.minutes["identify"] > 0
    assert all(longer.minutes[name] >= minutes - 1e-9 for name, minutes in usual.minutes.items())


def test_every_entry_of_the_suite_builds_what_it_says() -> None:
    pairs = fi.testing.synthetic_pairs(feature_shape=(64,), size=32)
    surrogates = (encoder_of_three_stages(), encoder_of_three_stages(4))
    assert all(len(set(entry.networks.files)) == len(entry.networks.files) for entry in suite.SUITE)
    materials = Materials(pairs, fi.encoders.tiny(), surrogates)
    for entry in suite.SUITE:
        settings = entry.settings(pairs, 640, 3.0, seed=7)
        attack = entry.build(materials, settings)
        if entry.share:
            assert (attack.training.images, attack.training.minutes, attack.training.seed) == (640, 3.0, 7), entry.name
        assert hasattr(attack, "reconstruct"), entry.name


@pytest.mark.parametrize(("asked", "public"), [(1, 60), (170, 260), (1000, 260), (10_000, 3000), (5, 2)])
def test_a_distillation_sees_what_was_planned(asked: int, public: int) -> None:
    """Whole batches: what `whole_batches` plans is what the epochs make, within half a batch of what was asked."""
    settings = suite.distillation(asked, public, None)
    rows = public - round(settings.holdout * public)
    planned = suite.whole_batches(asked, public)
    budget = max(1, round(settings.epochs * (rows // min(settings.batch_size, rows)))) * min(settings.batch_size, rows)
    assert planned == budget
    assert abs(planned - asked) <= settings.batch_size / 2 or planned == settings.batch_size


def encoder_of_three_stages(stages: int = 3) -> fi.encoders.Encoder:
    network = fi.encoders.networks.SmallResNet(
        8, widths=(4,) * (stages + 1), blocks=(1,) * (stages + 1), standardise=True
    )
    return fi.encoders.Encoder(network, name="n", family="f", layer="norm", input_size=32)


def test_what_would_not_fit_into_memory_or_cannot_be_distilled_is_named() -> None:
    plan = suite.plan_suite(10, Situation(9, (512, 7, 7), 256, labelled=True, white_box=True))
    closed = {"16 neighbours averaged", "ridge", "random features"}
    assert set(plan.left_out) == {*closed, "two surrogates", "identify"}
    assert "25,088 x 196,608 numbers" in plan.left_out["ridge"]


def test_help_and_settings_load_no_torch() -> None:
    code = (
        "import sys\nfrom featinv import cli\nsys.argv = ['featinv', 'audit', '--help']\n"
        "try:\n    cli.main()\nexcept SystemExit as left:\n    assert left.code == 0\n"
        "sys.argv = ['featinv', 'audit', '--victim', 'tiny', '--private', 'x', '--out', 'y']\n"
        "from featinv.audit.settings import AuditSettings\n"
        "heavy = {'torch', 'matplotlib', 'jinja2', 'wandb', 'accelerate', 'scipy'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "--max-level" in done.stdout


@pytest.mark.parametrize(
    ("text", "args"),
    [
        ("GaussianNoise:0.1", {"std": 0.1}),
        ("GaussianNoise:std=1e-3", {"std": 1e-3}),
        ("Identity", {}),
    ],
)
def test_a_component_in_short_text(text: str, args: dict[str, Any]) -> None:
    from featinv.configuration import parse_component

    assert parse_component(text, fi.defences, "--defence") == fi.configuration.Component(text.partition(":")[0], args)


def test_a_path_goes_to_the_first_parameter_as_it_is() -> None:
    from featinv.configuration import parse_component

    part = parse_component("cifar_resnet:/a=b/w.safetensors,depth=56,layer=null", fi.encoders, "--victim")
    assert part.args == {"weights": "/a=b/w.safetensors", "depth": 56, "layer": None}
    with pytest.raises(fi.BadInput, match="KEY=VALUE after a comma, got 'b'"):
        parse_component("cifar_resnet:a,b", fi.encoders, "--victim")


def test_a_pilots_throughput_leaves_out_its_set_up() -> None:
    """10 images a second after 5 s of set-up; a single row can only be divided by all of its seconds."""
    rows = [{"images": 10.0, "seconds": 6.0}, {"images": 20.0, "seconds": 7.0}, {"images": 40.0, "seconds": 9.0}]
    assert steady_rate(rows) == pytest.approx(10.0)
    assert steady_rate(rows[:1]) == pytest.approx(10 / 6)
