"""What a store says about itself, and whether it is the store that is asked for."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from featinv import __version__
from featinv.data import ImageSet
from featinv.errors import BadInput
from featinv.features.layout import Layout
from featinv.files import read_json
from featinv.types import RELEASE_VIEW

SCHEMA = 1
MANIFEST = "manifest.json"
"""Written last: a store that has it is complete."""
UNFINISHED = "unfinished.json"
"""The manifest to be, written first: a store that was interrupted knows whose features it holds."""

_IMAGES = {
    "count": "count of images",
    "image_size": "image size",
    "ids_sha256": "image ids",
    "pixels_fingerprint": "pixels",
}
_SETTINGS = {"views": "views (flips)", "block": "block", "seed": "seed"}
_KINDS = {0: "the pairs of an attacker", RELEASE_VIEW: "a release"}
"""what a store holds, by the first stream of the defence's draws in it; the first stores did not say"""


def describe_images(images: ImageSet) -> dict[str, Any]:
    """Return what tells one set of images from another: count, size, and sha256 of the ids and of the pixels."""
    digest = hashlib.sha256()
    for name in images.ids:
        digest.update(name.encode("utf-8", "surrogateescape") + b"\n")
    return {
        "count": len(images),
        "image_size": images.size,
        "ids_sha256": digest.hexdigest(),
        "pixels_fingerprint": images.fingerprint,
    }


def make_manifest(
    victim: Mapping[str, Any], images: ImageSet, *, views: int, block: int, seed: int, first_view: int = 0
) -> dict[str, Any]:
    """Return the manifest of the store that this victim, these images and settings make; nothing of it varies."""
    return {
        "schema": SCHEMA,
        "featinv": __version__,
        "victim": dict(victim),
        "dtype": "float32",
        "feature_shape": list(victim["feature_shape"]),
        "views": views,
        "block": block,
        "seed": seed,
        **({"first_view": first_view} if first_view else {}),
        **describe_images(images),
    }


def read_manifest(path: Path) -> dict[str, Any]:
    """Read a manifest; raises BadInput that names what is missing or wrong in it."""
    manifest = read_json(path)
    if not isinstance(manifest, dict) or manifest.get("schema") != SCHEMA:
        schema = manifest.get("schema") if isinstance(manifest, dict) else None
        raise BadInput(f"{path}: expected a feature store of schema {SCHEMA}, got {schema}; extract the features again")
    shape = manifest.get("feature_shape")
    wrong = [key for key in ("count", "block", "views", "image_size") if not _positive(manifest.get(key))]
    if not isinstance(shape, list) or len(shape) not in (1, 3) or not all(map(_positive, shape)):
        wrong.append("feature_shape")
    if not isinstance(manifest.get("victim"), dict):
        wrong.append("victim")
    if manifest.get("first_view", 0) not in _KINDS:
        wrong.append("first_view")
    if wrong or manifest["views"] > 2 or manifest.get("dtype") != "float32":
        raise BadInput(f"{path}: expected usable entries, got none for {', '.join(wrong) or 'views or dtype'}")
    return manifest


def layout_of(manifest: Mapping[str, Any]) -> Layout:
    """Return how the shards are laid out."""
    shape = tuple(manifest["feature_shape"])
    return Layout(manifest["count"], manifest["block"], manifest["views"], shape, manifest.get("first_view", 0))


def must_be_of(folder: Path, stored: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    """Raise BadInput that names the first difference between the manifest in `folder` and as much as `wanted` says."""
    kinds = [_KINDS[manifest.get("first_view", 0)] for manifest in (stored, wanted)]
    if kinds[0] != kinds[1]:
        raise BadInput(
            f"{folder}: holds {kinds[0]}, expected {kinds[1]}: a defence draws other noise for either; give another "
            "folder, or remove this one"
        )
    if "victim" in wanted and (difference := _first_difference(stored["victim"], wanted["victim"])):
        raise BadInput(
            f"{folder}: holds features of another victim: expected {difference[0]} {difference[2]}, "
            f"got {difference[1]}; give another folder, or remove this one"
        )
    for key, words in {**_IMAGES, **_SETTINGS}.items():
        if key in wanted and stored.get(key) != wanted[key]:
            what = "of other images" if key in _IMAGES else "extracted with other settings"
            raise BadInput(
                f"{folder}: holds features {what}: expected {words} {_short(wanted[key])}, "
                f"got {_short(stored.get(key))}; give another folder, or remove this one"
            )


def _first_difference(stored: Mapping[str, Any], wanted: Mapping[str, Any]) -> tuple[str, str, str] | None:
    if stored.get("fingerprint") == wanted.get("fingerprint"):
        return None
    keys = [key for key in wanted if key != "name" and stored.get(key) != wanted[key]]
    return keys[0], _short(stored.get(keys[0])), _short(wanted[keys[0]])


def _short(value: Any) -> str:
    text = str(value)
    return f"{text[:12]}..." if len(text) == 64 else text


def _positive(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0
