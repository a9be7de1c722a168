"""`featinv score`: reconstructions in a folder get the numbers that the attack itself gets."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import featinv as fi
from featinv import cli
from featinv.interop import ScoreSettings, read_reconstructions, run_score, score


class ToyJudge:
    """4 x 4 means; the brightest channel is the label."""

    name, family, trained_on, fingerprint = "toy", "pooling", "nothing", "toy"

    def __call__(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return torch.nn.functional.adaptive_avg_pool2d(images, 4).flatten(1), images.mean((2, 3))


def write(folder: Path, images: np.ndarray, names: list[str]) -> Path:
    for name, pixels in zip(names, images, strict=True):
        file = folder / f"{name}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(file)
    return folder


def files(count: int, seed: int, side: int = 16) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, side, side, 3), dtype=np.uint8)


def image_set(pixels: np.ndarray) -> fi.data.ImageSet:
    return fi.data.ImageSet(pixels, ids=[str(row) for row in range(len(pixels))])


NAMES = [f"{index:02}" for index in range(12)]


def test_a_folder_gets_the_numbers_of_the_attack_to_the_digit(tmp_path: Path) -> None:
    """Another path to the same board: the attack scored by `compare`, with the vectors themselves."""
    public, private = fi.data.scenes(60, size=32, seed=0).split(0.7, seed=0)
    encoder = fi.encoders.wrap(torch.nn.AvgPool2d(16), name="m", family="a", trained_on="nothing", input_size=32)
    victim = fi.Victim(encoder)
    pairs, release = fi.extract(victim, public), fi.release(victim, private, seed=0)
    ridge = fi.attacks.Ridge(1.0).fit(pairs)
    attacks = {"mean image": fi.attacks.MeanImage().fit(pairs), "ridge": ridge}
    expected = fi.compare(attacks, release, [ToyJudge()], resamples=100, progress=False)

    images = ridge.reconstruct(torch.from_numpy(release.features))
    pixels = (images * 255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
    names = [f"{index:03}" for index in range(len(private))]
    # Written in another order than it is read in, as another program may have done.
    folder = write(tmp_path / "theirs", pixels[::-1], names[::-1])
    read = read_reconstructions(folder, names)
    board = score(private, {"ridge": read}, [ToyJudge()], public=public, resamples=100, progress=False)

    for name in ("ridge", "mean image", "mismatched features (ridge)"):
        assert board[name].metrics == expected[name].metrics, name
    shared = [view for view in expected["ridge"].metrics_by if view in board["ridge"].metrics_by]
    assert {"low-pass", "jpeg 75", "shift", "mismatched features"} <= set(shared)
    for view in shared:
        assert board["ridge"].metrics_by[view] == expected["ridge"].metrics_by[view], view
    with pytest.raises(fi.BadInput):  # a gate passes on audits only
        fi.audit.gate(board, "L4")


def test_without_public_images_the_control_is_the_mean_of_the_originals(tmp_path: Path) -> None:
    originals, theirs = files(12, seed=0, side=32), files(12, seed=1, side=32)
    private = image_set(originals)
    board = score(private, {"a": image_set(theirs)}, [ToyJudge()], resamples=100, progress=False)
    mean = np.round(originals.mean(0, dtype=np.float64))
    errors = ((mean - originals) / 255.0) ** 2
    assert board["mean of the originals"].metrics["mse"].mean == pytest.approx(errors.mean(), abs=1e-6)
    assert "feature linkage" not in [row.name for row in board.attacks]


def test_names_without_a_partner_and_mixed_sizes_are_refused_by_name(tmp_path: Path) -> None:
    images = files(12, seed=0)
    few = write(tmp_path / "few", images[:-2], NAMES[:-2])
    with pytest.raises(fi.BadInput, match=r"--x: .*12 originals and 10 reconstructions.*none of 10 and 1 others"):
        read_reconstructions(few, NAMES, "--x")
    with pytest.raises(fi.BadInput, match=r"an original of every reconstruction .*none of 09 and 0 others"):
        read_reconstructions(few, NAMES[:9])
    mixed = write(tmp_path / "mixed", images[:2], NAMES[:2])
    write(mixed, files(1, seed=0, side=32), ["zz"])
    with pytest.raises(fi.BadInput, match=r"one size, got 16 x 16 \(00\.png\) and 32 x 32 \(zz\.png\)"):
        read_reconstructions(mixed, [*NAMES[:2], "zz"])
    twice = write(tmp_path / "twice", images[:2], NAMES[:2])
    Image.fromarray(images[0]).save(twice / "00.jpg")
    with pytest.raises(fi.BadInput, match="have 00 twice"):
        read_reconstructions(twice, NAMES[:2])
    (twice / "01.png").write_bytes(b"no image")
    with pytest.raises(fi.BadInput, match=r"01\.png: expected an image"):
        read_reconstructions(twice, NAMES[:2])


def test_the_command_writes_board_and_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    public, private = fi.data.scenes(40, size=32, seed=0).split(0.5, seed=0)
    names = [f"class/{index:02}" for index in range(20)]
    originals = write(tmp_path / "originals", private.uint8(range(20)), names)
    theirs = write(tmp_path / "theirs", public.uint8(range(20)), names)
    command = [
        "score",
        "--originals",
        str(originals),
        "--reconstructions",
        f"net={theirs}",
        "--out",
        str(tmp_path / "o"),
    ]
    flags = cli.parse(command)
    assert flags.call(flags) == 0
    assert fi.load_scoreboard(tmp_path / "o")["net"].kind == "attack"
    assert (tmp_path / "o" / "report.html").is_file()
    assert "mean of the originals" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"reconstructions": ()}, "expected --reconstructions DIR"),
        ({"reconstructions": ("a/x", "b/x")}, "two folders are called 'x'"),
        ({"controls": ("=x",)}, "--control: expected DIR or NAME=DIR"),
        ({"seed": -1}, "--seed"),
    ],
)
def test_flags_that_cannot_be_used(changes: dict[str, object], message: str) -> None:
    with pytest.raises(fi.BadInput, match=message):
        ScoreSettings(**{"originals": "o", "out": "r", "reconstructions": ("a",), **changes})  # type: ignore[arg-type]


def test_an_attack_and_a_control_of_one_name(tmp_path: Path) -> None:
    settings = ScoreSettings("o", str(tmp_path / "r"), ("net=a",), ("net=b",))
    with pytest.raises(fi.BadInput, match="'net' is the name of an attack too"):
        run_score(settings)
    assert "featinv.interop" in sys.modules
