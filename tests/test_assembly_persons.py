"""Who is on which image: from folders or a file, never the same person on both sides."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import featinv as fi
from featinv import BadInput
from featinv.assembly import Persons, persons_of
from featinv.audit import suite
from featinv.data import ImageSet

PUBLIC = ("ada/1.png", "ada/2.png", "ben/1.png")
PRIVATE = ("cleo/1.png", "cleo/2.png", "dan/1.png", "eve/x/1.png")


def images(ids: tuple[str, ...]) -> ImageSet:
    return ImageSet(np.zeros((len(ids), 8, 8, 3), dtype=np.uint8), ids=ids)


def asked(clusters: str | None, **more: Any) -> Persons | None:
    sides = (images(more.get("public", PUBLIC)), images(more.get("private", PRIVATE)))
    return persons_of(clusters, *sides, folders=("x/old", "x/new"))


def test_folders_are_people() -> None:
    assert asked(None) is None
    persons = asked("folders")
    assert persons is not None
    assert persons.private == ["cleo", "cleo", "dan", "eve"]
    assert persons.public == ["ada", "ada", "ben"]
    other = asked("folders", private=("cleo/1.png", "dan/2.png", "dan/1.png", "eve/x/1.png"))
    assert other is not None
    assert other.digest != persons.digest


WHO = {name: name[0].upper() for name in (*PUBLIC, *PRIVATE)}
FILES: dict[str, tuple[str, Callable[[Path], object]]] = {
    "json": ("who.json", lambda p: p.write_text(json.dumps(WHO))),
    "json, in another order, with the folders before": (
        "who.json",
        lambda p: p.write_text(
            json.dumps(
                {f"old/{name}": WHO[name] for name in reversed(PUBLIC)} | {f"new/{name}": WHO[name] for name in PRIVATE}
            )
        ),
    ),
    "csv": ("who.csv", lambda p: p.write_text("".join(f"{name},{who}\n" for name, who in WHO.items()))),
    "csv with headings": (
        "who.csv",
        lambda p: p.write_text("file_name,person\n" + "".join(f"{n},{w}\n" for n, w in WHO.items())),
    ),
}


@pytest.mark.parametrize("case", FILES)
def test_a_file_names_the_person_of_each_image(tmp_path: Path, case: str) -> None:
    name, write = FILES[case]
    write(tmp_path / name)
    persons = asked(str(tmp_path / name))
    assert persons is not None
    assert (persons.private, persons.public) == (["C", "C", "D", "E"], ["A", "A", "B"])


BAD: dict[str, tuple[str, str, str]] = {
    "no such file": ("none.csv", "", "expected folders, or a .csv or .json file"),
    "another suffix": ("who.txt", "x", "expected folders, or a .csv or .json file"),
    "not all images": ("who.json", json.dumps({"ada/1.png": "A"}), "has no person of 2 of 3 images"),
    "an image twice": ("who.csv", "".join(f"{n},A\n" for n in (*PUBLIC, *PRIVATE, PUBLIC[0])), "every id once"),
    "three columns": ("who.csv", "ada/1.png,A,x\n", "two columns, id and person, got 3 in row 1"),
    "a list": ("who.json", "[1]", "an object of ids and persons as text, got list"),
    "nobody": ("who.json", "{}", "got an empty file"),
    "a number that is none": ("who.json", '{"a": 1.5}', "as text"),
    "one person": ("who.json", json.dumps({**WHO, **dict.fromkeys(PRIVATE, "X")}), "at least two people"),
    "both sides": ("who.json", json.dumps({**WHO, "dan/1.png": "A"}), r"got 1 on both sides \(the first: 'A'\)"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_cannot_be_used_is_refused_in_one_line(tmp_path: Path, case: str) -> None:
    name, content, complaint = BAD[case]
    if content:
        (tmp_path / name).write_text(content)
    with pytest.raises(BadInput, match=rf"^--clusters: .*{complaint}") as caught:
        asked(str(tmp_path / name))
    assert "\n" not in str(caught.value)


def test_images_in_no_folder_and_folders_of_both_sides_are_refused() -> None:
    with pytest.raises(BadInput, match=r"^--clusters folders: .*the private image '1\.png' in none; give a file"):
        asked("folders", private=("a/1.png", "1.png"))
    with pytest.raises(BadInput, match=r"^--clusters: expected nobody .*the first: 'ada'"):
        asked("folders", private=("ada/9.png", "dan/1.png"))


@pytest.mark.slow
def test_an_audit_measures_people(tmp_path: Path) -> None:
    scenes = fi.data.scenes(110, size=32, seed=3)
    for row in range(110):
        place = tmp_path / (f"public/p{row // 2}" if row < 60 else f"private/q{row // 2}")
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(scenes.uint8([row])[0]).save(place / f"{row}.png")
    closed = [entry for entry in suite.SUITE if entry.name in ("mean image", "nearest neighbour", "ridge")]
    settings = fi.audit.AuditSettings(
        str(tmp_path / "out"),
        str(tmp_path / "public"),
        str(tmp_path / "private"),
        victim="tiny",
        clusters="folders",
        named="none",
        show_images=False,
    )
    board = fi.audit.run_audit(settings, suite=closed).board
    assert board.protocol["clusters"] == board.protocol["persons"]["count"] == 25
    assert {"tar_type1_1e3", "tar_type2_1e2", "person_top10"} <= set(board["ridge"].metrics)
    assert "no clusters were given" not in str(board.leak_level)
    # The same pixels in the same order, and another person: a finished audit is not shown for them.
    (tmp_path / "private/q54").rename(tmp_path / "private/q99")
    with pytest.raises(BadInput, match=r"an audit of other inputs \(the people on the images differ now\)"):
        fi.audit.run_audit(settings, suite=closed)
