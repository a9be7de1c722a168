"""Who saw what: the metadata under which the numbers of a scoreboard hold."""

import importlib.metadata
import platform
from collections.abc import Sequence
from typing import Any

import numpy as np

from featinv.data import ImageSet, Overlap
from featinv.evaluation.attack_score import interval_json
from featinv.evaluation.intervals import LEVEL, Clusters
from featinv.evaluation.judging import TREATMENTS
from featinv.evaluation.panel import MAIN, Panel
from featinv.evaluation.reidentification import chance_mrr, chance_top, ranks
from featinv.evaluation.summary import TOP, summarise
from featinv.victim import Release

_LIBRARIES = ("featinv", "torch", "torchvision", "torchmetrics", "numpy", "pillow")
METHODS = {
    "means": "BCa bootstrap over images",
    "rates": "Wilson score interval",
    "attack_strength": "MOVER-R of the two Wilson intervals, pairing ignored",
}


def protocol_metadata(
    panel: Panel,
    release: Release,
    siblings: Sequence[bool],
    *,
    resamples: int,
    public: ImageSet | None,
    overlap: Overlap | None,
    clusters: Clusters | None = None,
) -> dict[str, Any]:
    """Return sizes, seeds, judges, galleries, chance, treated originals and versions as one JSON-able dictionary."""
    size = len(panel.truth)
    return {
        "seed": panel.seed,
        "release_seed": release.metadata.get("seed"),
        "private": image_metadata(panel.truth),
        "public": None if public is None else image_metadata(public),
        "overlap": None if overlap is None else {"exact": len(overlap.exact), "near": len(overlap.near)},
        "gallery": size,
        "galleries": list(panel.galleries),
        "chance": {**{f"reid_top{k}": chance_top(k, size) for k in TOP}, "reid_mrr": chance_mrr(size)},
        "judges": [
            {
                "name": judge.name,
                "family": judge.family,
                "trained_on": judge.trained_on,
                "fingerprint": judge.fingerprint,
                "sibling": sibling,
            }
            for judge, sibling in zip(panel.judges, siblings, strict=True)
        ],
        "treated_originals": _treated_originals(panel, resamples, clusters),
        "classes": {
            "source": "the first judge" if panel.truth.labels is None else "the private images",
            "count": len(np.unique(panel.classes)),
        },
        "clusters": None if clusters is None else len(np.unique(clusters)),
        "resamples": resamples,
        "level": LEVEL,
        "intervals": METHODS,
        "versions": {"python": platform.python_version(), **_versions()},
    }


def image_metadata(images: ImageSet) -> dict[str, Any]:
    """Return count, size and fingerprint of a set of images."""
    return {"count": len(images), "size": images.size, "fingerprint": images.fingerprint}


def _treated_originals(panel: Panel, resamples: int, clusters: Clusters | None) -> dict[str, Any]:
    """What the untouched originals themselves reach once treated: no reconstruction can be expected to do better."""
    rates = {}
    for view in TREATMENTS:
        treated, original = panel.treated_originals[view], panel.originals[MAIN]
        arrays = {
            "rank": ranks(treated.features, original.features),
            "judge_agreement": treated.labels == original.labels,
        }
        sizes, chance = {MAIN: len(panel.truth)}, panel.label_chance()
        metrics = summarise(arrays, sizes, chance, clusters=clusters, resamples=resamples, seed=panel.seed)[MAIN]
        rates[view] = {name: interval_json(interval) for name, interval in metrics.items()}
    return rates


def _versions() -> dict[str, str]:
    versions = {}
    for name in _LIBRARIES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = "not installed"
    return versions
