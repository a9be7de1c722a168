"""The scoreboard as data: its public shape, its files, its table, and what it refuses to read."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from evaluation_parts import PoolJudge, blurred, mean_image, perfect, published

import featinv as fi
from featinv import BadInput
from featinv.evaluation import Scoreboard, compare, load_scoreboard, paired
from featinv.evaluation.catalogue import Catalogue


@pytest.fixture(scope="module")
def board() -> Scoreboard:
    attacks = {"mean image": mean_image(), "blurred": blurred(), "perfect": perfect()}
    judges = [PoolJudge(), PoolJudge("second")]
    return compare(attacks, published(), judges, galleries=[20], resamples=200, progress=False)


@pytest.fixture
def saved(board: Scoreboard, tmp_path: Path) -> Path:
    board.save(tmp_path / "run")
    return tmp_path / "run"


def test_the_public_shape(saved: Path) -> None:
    document = json.loads((saved / "scoreboard.json").read_text())
    assert list(document) == ["schema", "victim", "protocol", "attacks", "leak_level"]
    assert document["schema"] == 2
    for row in document["attacks"]:
        assert {"name", "kind", "role", "metrics", "metrics_by", "seconds", "parameters"} <= set(row)
        assert row["kind"] in ("control", "attack")
        assert isinstance(row["seconds"], float)
        assert isinstance(row["parameters"], int)
        groups = [row["metrics"], *row["metrics_by"].values()]
        for name, interval in (pair for group in groups for pair in group.items()):
            assert set(interval) - {"chance"} == {"mean", "low", "high", "n"}
            assert interval["low"] <= interval["mean"] + 1e-9
            assert interval["mean"] <= interval["high"] + 1e-9
            assert ("chance" in interval) == (name.startswith("reid_") or name == "judge_agreement")
    last = document["attacks"][-1]
    assert set(last["metrics"]) == {
        "mse",
        "psnr",
        "ssim",
        "low_pass_psnr",
        "judge_cosine",
        "judge_agreement",
        "reid_top1",
        "reid_top10",
        "reid_mrr",
        "reid_auc",
        "attack_strength",
    }


@pytest.mark.parametrize("as_file", [False, True])
def test_what_is_saved_is_read_back(board: Scoreboard, saved: Path, as_file: bool) -> None:
    again = load_scoreboard(saved / "scoreboard.json" if as_file else saved)
    assert again.as_json() == json.loads(json.dumps(board.as_json()))
    assert again.attacks == board.attacks
    assert str(again) == str(board)
    assert set(again.per_image) == set(board.per_image)
    for key, values in board.per_image.items():
        assert again.per_image[key].dtype == values.dtype
        assert np.array_equal(again.per_image[key], values)
    assert again.versus("perfect", "blurred") == board.versus("perfect", "blurred")


def test_saving_again_replaces_and_leaves_nothing_else(board: Scoreboard, saved: Path) -> None:
    board.save(str(saved))
    assert sorted(file.name for file in saved.iterdir()) == ["per_image.npz", "scoreboard.json"]


def test_the_means_follow_from_the_saved_numbers(saved: Path) -> None:
    document = json.loads((saved / "scoreboard.json").read_text())
    with np.load(saved / "per_image.npz", allow_pickle=False) as arrays:
        for row in document["attacks"]:
            for metric in set(row["metrics"]) & {"mse", "psnr", "ssim", "judge_cosine", "judge_agreement"}:
                values = arrays[f"{row['name']}/{metric}"]
                assert values.shape == (60,)
                assert values.mean(dtype=float) == pytest.approx(row["metrics"][metric]["mean"], abs=1e-6)
            ranks = arrays[f"{row['name']}/rank"]
            assert (ranks <= 10).mean() == pytest.approx(row["metrics"]["reid_top10"]["mean"])


def test_a_scoreboard_without_its_arrays_still_shows_but_cannot_compare(saved: Path, board: Scoreboard) -> None:
    (saved / "per_image.npz").unlink()
    again = load_scoreboard(saved)
    assert str(again) == str(board)
    with pytest.raises(BadInput, match=r"per_image\.npz is missing"):
        again.versus("perfect", "blurred", "psnr")
    with pytest.raises(BadInput, match=r"per_image\.npz is missing"):
        again.versus("perfect", "blurred")


def edited(saved: Path, change: Any) -> Path:
    file = saved / "scoreboard.json"
    document = json.loads(file.read_text())
    change(document)
    file.write_text(json.dumps(document))
    return saved


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda d: d.update(schema=0), "expected schema 2, got 0"),
        (lambda d: d.update(schema=1), "expected schema 2, got 1"),
        (lambda d: d.pop("schema"), "expected schema 2, got None"),
        (lambda d: d.pop("attacks"), "expected a scoreboard, got other JSON"),
        (lambda d: d.pop("victim"), "lacks a part"),
        (lambda d: d["attacks"][0].pop("kind"), "lacks a part"),
        (lambda d: d["attacks"][0].update(kind="baseline"), "lacks a part"),
        (lambda d: d["attacks"][0]["metrics"]["psnr"].pop("low"), "lacks a part"),
        (lambda d: d["attacks"][0]["metrics"]["psnr"].update(mean="12 dB"), "lacks a part"),
        (lambda d: d["attacks"][0]["metrics"]["psnr"].update(mean=float("nan")), "finite numbers, got nan"),
        (lambda d: d["protocol"].update(extra=[float("inf")]), "finite numbers, got inf"),
    ],
)
def test_refuses_another_schema_missing_parts_and_nan(saved: Path, change: Any, match: str) -> None:
    with pytest.raises(BadInput, match=rf"scoreboard\.json: .*{match}"):
        load_scoreboard(edited(saved, change))


def test_newer_keys_are_no_obstacle(saved: Path) -> None:
    """The shape grows by new keys; a reader of schema 2 must not stumble over them."""

    def grow(document: dict[str, Any]) -> None:
        document["levels"] = {"L1": True}
        document["attacks"][0]["metrics"]["lpips"] = {"mean": 0.5, "low": 0.4, "high": 0.6, "n": 60}
        document["attacks"][0]["metrics"]["psnr"]["seeds"] = 3
        document["attacks"][0]["direction"] = "up"

    assert load_scoreboard(edited(saved, grow)).attacks[0].metrics["lpips"].mean == 0.5


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe\x00", b'{"schema": 2, "attacks": []'])
def test_refuses_broken_json(saved: Path, content: bytes) -> None:
    (saved / "scoreboard.json").write_bytes(content)
    with pytest.raises(BadInput, match=r"scoreboard\.json: expected"):
        load_scoreboard(saved)


def test_refuses_a_missing_scoreboard(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="expected a JSON file, found none"):
        load_scoreboard(tmp_path)
    with pytest.raises(BadInput, match="expected a JSON file, found none"):
        load_scoreboard(tmp_path / "nothing.json")


def test_refuses_broken_arrays(saved: Path) -> None:
    file = saved / "per_image.npz"
    whole = file.read_bytes()
    for content in (whole[: len(whole) // 2], b"", b"no zip at all", whole[:200] + bytes(50) + whole[250:]):
        file.write_bytes(content)
        with pytest.raises(BadInput, match=r"per_image\.npz: expected numeric arrays"):
            load_scoreboard(saved)


def test_never_unpickles(saved: Path) -> None:
    np.savez(saved / "per_image.npz", **{"a/psnr": np.array([print], dtype=object)})
    with pytest.raises(BadInput, match=r"per_image\.npz: expected numeric arrays"):
        load_scoreboard(saved)


def test_refuses_arrays_that_unpack_to_too_much(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("featinv.evaluation.scoreboard.ARRAYS_LIMIT", 100)
    with pytest.raises(BadInput, match="at most 100 bytes"):
        load_scoreboard(saved)


def test_a_full_disk_changes_nothing(board: Scoreboard, saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = {file.name: file.read_bytes() for file in saved.iterdir()}

    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("numpy.savez_compressed", full)
    with pytest.raises(BadInput, match="disk is full"):
        board.save(saved)
    assert {file.name: file.read_bytes() for file in saved.iterdir()} == before


# Comparing two rows.


def test_versus_is_the_paired_difference(board: Scoreboard) -> None:
    difference = board.versus("perfect", "blurred", "psnr")
    first, second = board.per_image["perfect/psnr"], board.per_image["blurred/psnr"]
    assert difference == paired(first.astype(float), second.astype(float), resamples=200, seed=0)
    assert difference.low > 0
    assert board.versus("blurred", "perfect", "mse").low > 0
    assert board.versus("perfect", "blurred", "judge_agreement/low-pass").n == 60
    assert board.versus("blurred", "blurred", "psnr").mean == 0.0


def test_versus_says_what_exists(board: Scoreboard) -> None:
    with pytest.raises(BadInput, match="no row 'gan'; there are 'mean image', 'feature linkage'"):
        board.versus("gan", "perfect")
    with pytest.raises(BadInput, match=r"'perfect' has no numbers per image for 'lpips'; it has .*psnr"):
        board.versus("perfect", "blurred", "lpips")
    with pytest.raises(BadInput, match="'feature linkage' has no numbers per image for 'psnr'; it has .*rank"):
        board.versus("perfect", "feature linkage", "psnr")


# The table.


def test_the_table_fits_and_is_aligned(board: Scoreboard) -> None:
    lines = str(board).splitlines()
    assert max(map(len, lines)) <= 144
    header = next(line for line in lines if "PSNR dB" in line)
    body = lines[lines.index(header) :]
    row = next(line for line in body if line.startswith("perfect"))
    for title in ("PSNR dB", "SSIM", "top-10 %"):
        end = header.index(title) + len(title)
        assert row[end - 1] == "]"
        assert row[end : end + 2].strip() == ""


def test_the_table_shows_every_number_with_its_interval(board: Scoreboard) -> None:
    text = str(board)
    for row in board.attacks:
        line = next(line for line in text.splitlines() if line.startswith(row.name))
        numbers = re.findall(r"(\S+) \[(\S+) (\S+)\]", line)
        assert len(numbers) == sum(one.name in row.metrics for one in Catalogue().at("table"))
        if "psnr" in row.metrics:
            shown = [float(number) for number in numbers[0]]
            psnr = row.metrics["psnr"]
            assert shown == pytest.approx([psnr.mean, psnr.low, psnr.high], abs=0.006)


def test_the_table_puts_controls_first_and_chance_last(board: Scoreboard) -> None:
    main = str(board).split("\n\n")[1]
    names = ["mean image", "feature linkage", "mismatched features (perfect)", "blurred", "perfect", "chance"]
    places = [re.search(rf"^{re.escape(name)}  ", main, re.M) for name in names]
    assert all(places)
    assert [place.start() for place in places if place] == sorted(place.start() for place in places if place)
    assert "16.7" in main.splitlines()[-1]  # 10 of 60


def test_the_table_names_judges_ceiling_best_control_and_the_limits_of_the_claim(board: Scoreboard) -> None:
    text = str(board)
    assert "First judge pool: family pooling, trained on nothing." in text
    assert "Judge second: family pooling" in text
    assert "The originals themselves, once treated" in text
    assert f"the best control, here {board.protocol['best_control']!r}" in text
    assert "At least this much leaks under this budget" in text
    assert not re.search(r"\bsafe\b", text)


def test_fi_exports_it(saved: Path) -> None:
    assert isinstance(fi.load_scoreboard(saved), fi.Scoreboard)
