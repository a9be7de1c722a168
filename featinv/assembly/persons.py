"""Who is on which image: from folders, or from a file."""

import csv
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, final

from featinv.data.naming import name_group
from featinv.errors import BadInput
from featinv.evaluation import check_persons
from featinv.features.matching import match_ids
from featinv.files import read_json

if TYPE_CHECKING:
    from featinv.data import ImageSet

FOLDERS = "folders"
"""What `--clusters` says where the first folder of an image's path is the person."""


@final
@dataclass(frozen=True)
class Persons:
    """The person of each image of both sides; nobody is on both."""

    private: list[str]
    public: list[str]

    @property
    def digest(self) -> str:
        """Return the SHA-256 of both lists."""
        return hashlib.sha256(json.dumps([self.private, self.public]).encode()).hexdigest()


@final
@dataclass(frozen=True)
class _File:
    """Ids and persons as a file lists them."""

    source: str
    ids: list[str]
    persons: list[str]


def persons_of(
    clusters: str | None, public: "ImageSet", private: "ImageSet", *, folders: tuple[str, str] = ("", "")
) -> Persons | None:
    """Return who is on which image, None where nobody says; `folders` are those that the public and private ids are of.

    Raises BadInput where an image is in no folder, for a file that cannot be read or does not name every image, where
    all private images show one person, and for a person on images of both sides.
    """
    if clusters is None:
        return None
    learnt = persons_by_image(clusters, public.ids, side="public ", folder=folders[0])
    people = persons_by_image(clusters, private.ids, side="private ", folder=folders[1])
    if len(set(people)) < 2:
        raise BadInput(f"--clusters: expected at least two people on the private images, got one in {clusters}")
    try:
        check_persons(people, learnt)
    except BadInput as error:
        raise BadInput(f"--clusters: {str(error).removeprefix('public_clusters: ')}") from error
    return Persons(people, learnt)


def persons_by_image(clusters: str, ids: Sequence[str], *, side: str = "", folder: str = "") -> list[str]:
    """Return the person on each image: the first folder of its id (`folders`), or what a file says.

    Raises BadInput for an image in no folder, and for a file that cannot be read or does not name every image.
    """
    if clusters == FOLDERS:
        return [_folder_of(name, side) for name in ids]
    listed = _read(Path(clusters))
    try:
        return [listed.persons[row] for row in match_ids(listed, ids, folder)]
    except BadInput as error:
        raise BadInput(f"--clusters: {str(error).replace('no vector of', 'no person of')}") from error


def _folder_of(name: str, side: str) -> str:
    folder, slash, _ = name.partition("/")
    if not slash:
        raise BadInput(
            f"--clusters folders: expected a folder for each person, got the {side}image {name!r} in none; give a "
            "file of ids and persons (.csv or .json)"
        )
    return folder


def _read(path: Path) -> _File:
    if not path.is_file() or path.suffix.lower() not in (".json", ".csv"):
        raise BadInput(
            f"--clusters: expected folders, or a .csv or .json file of ids and persons, got {str(path)!r}; check the "
            "path"
        )
    pairs = _of_json(path) if path.suffix.lower() == ".json" else _of_csv(path)
    if not pairs:
        raise BadInput(f"--clusters: {path}: expected a person for each image, got an empty file")
    return _File(str(path), [name for name, _ in pairs], [person for _, person in pairs])


def _of_json(path: Path) -> Sequence[tuple[str, str]]:
    listed = read_json(path)
    if not isinstance(listed, dict) or not all(isinstance(person, str | int) for person in listed.values()):
        raise BadInput(
            f"--clusters: {path}: expected an object of ids and persons as text, got {type(listed).__name__}"
        )
    return [(name, str(person)) for name, person in listed.items()]


def _of_csv(path: Path) -> Sequence[tuple[str, str]]:
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            rows = [row for row in csv.reader(file, strict=True) if row]
    except (csv.Error, ValueError) as error:
        raise BadInput(f"--clusters: {path}: expected lines of id,person in UTF-8 ({error})") from error
    if wrong := next((number for number, row in enumerate(rows, start=1) if len(row) != 2), None):
        raise BadInput(
            f"--clusters: {path}: expected two columns, id and person, got {len(rows[wrong - 1])} in row {wrong}"
        )
    headed = bool(rows) and name_group(rows[0][0]) is not None
    return [(name, person) for name, person in rows[headed:]]
