"""What is measured only when asked for: it costs time, or needs weights, labels or the public pictures."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from featinv import encoders, metrics
from featinv.attacks import NearestNeighbour
from featinv.data import ImageSet
from featinv.errors import BadInput
from featinv.evaluation.attack_score import interval_json
from featinv.evaluation.distribution import DISTANCES, least_pictures
from featinv.evaluation.independence import shares_network
from featinv.evaluation.intervals import Clusters, Interval, rate
from featinv.evaluation.judging import Notebook
from featinv.evaluation.panel import MAIN, Panel, Pass, PerPicture
from featinv.evaluation.probes import FOLDS, memorisation, probe_hits
from featinv.metrics.perceptual import NETWORKS, network
from featinv.metrics.structure import SMALLEST
from featinv.processes import seeded
from featinv.types import Attack, Images, PerImage
from featinv.victim import Release

DEFAULT, FULL = "default", "full"
PICTURES: dict[str, Callable[[Images, Images], PerImage]] = {
    "ms_ssim": metrics.ms_ssim,
    "lpips": metrics.lpips,
    "dists": metrics.dists,
}
CONSISTENCY, MEMORISATION, ATTRIBUTES = "target_cosine", "memorised", "attributes"
NEAREST_IS_PUBLIC = "nearest_is_public"
"""Measured with `memorised`: what that would be by chance is known."""
NAMES = (*PICTURES, *DISTANCES, MEMORISATION, ATTRIBUTES, CONSISTENCY)
ATTRIBUTE = "attribute "
"""What the name of a measured attribute begins with."""
_MOST_LABELS = 100


@dataclass(frozen=True)
class Extras:
    """What was asked for beside the default panel, and why the rest is not measured."""

    wanted: tuple[str, ...] = ()
    not_measured: Mapping[str, str] = field(default_factory=dict)

    @property
    def pictures(self) -> dict[str, Callable[[Images, Images], PerImage]]:
        """The metrics of single pictures among them."""
        return {name: PICTURES[name] for name in self.wanted if name in PICTURES}


def check_panel(panel: str | Sequence[str]) -> tuple[str, ...]:
    """Return the extra metrics that a panel asks for, by name. Raises BadInput for a name that is no extra metric."""
    names = (panel,) if isinstance(panel, str) else tuple(panel)
    asked = {DEFAULT: (), FULL: NAMES}.get(names[0], names) if len(names) == 1 else names
    if unknown := [name for name in asked if name not in NAMES]:
        raise BadInput(f"panel: no metric {unknown[0]!r}; there are {', '.join(NAMES)}, or 'default' or 'full'")
    return asked


def choose(panel: str | Sequence[str], truth: ImageSet, release: Release, public: ImageSet | None) -> Extras:
    """Return what can be measured of what is asked for, and for everything else the reason why not.

    Raises BadInput for a name that is no extra metric.
    """
    asked = check_panel(panel)
    reasons = {name: f"not asked for: panel='full' or ['{name}'] does" for name in NAMES if name not in asked}
    for name in asked:
        if reason := _obstacle(name, truth, release, public):
            reasons[name] = reason
    return Extras(tuple(name for name in asked if name not in reasons), reasons)


def _obstacle(name: str, truth: ImageSet, release: Release, public: ImageSet | None) -> str | None:
    if name == "ms_ssim" and truth.size < SMALLEST:
        return f"five scales need pictures of {SMALLEST} px, these have {truth.size}"
    if name in NETWORKS:
        try:
            network(name)
        except BadInput:
            # The error names a folder of this machine, which a scoreboard that is shared need not.
            return (
                f"torch's cache has no sound ImageNet weights of {NETWORKS[name]}; `featinv.metrics.{name}` says more"
            )
    if name in DISTANCES:
        try:
            least_pictures(name, len(truth), 1)
        except BadInput as error:
            return str(error).removeprefix(f"{name}: ")
    if name == MEMORISATION and public is None:
        return "the public pictures are not at hand; give public="
    if name == ATTRIBUTES and not _attributes(truth):
        return "the private pictures have no labels or factors of 2 to 100 values"
    if name == CONSISTENCY and release.victim is None:
        return "the victim is not at hand"
    return None


class ExtraMeasures:
    """Measures the extras of one comparison; what all rows share (the public pictures' features) is made once."""

    def __init__(
        self, extras: Extras, panel: Panel, release: Release, public: ImageSet | None, clusters: Clusters | None
    ) -> None:
        self.extras = extras
        self.panel = panel
        self.release = release
        self.clusters = clusters
        self._public = self._public_features(public) if MEMORISATION in extras.wanted and public else None

    def skipped(self, attack: Attack) -> dict[str, str]:
        """Name the perceptual metrics whose network the attack was trained with, and say so: they judge it no more."""
        reasons = {}
        for name in self.extras.pictures:
            if name in NETWORKS and _trained_with(attack, name):
                reasons[name] = f"{name} not measured: the attack was trained with the weights of its network"
        return reasons

    def of_pictures(self, result: Pass) -> PerPicture:
        """Return the extra numbers of every reconstruction."""
        arrays: PerPicture = {}
        seen, original = result.seen[MAIN].features, self.panel.originals[MAIN].features
        if self._public is not None:
            memorised, nearest_is_public = memorisation(seen, original, self._public)
            arrays[MEMORISATION] = memorised & ~result.failed
            arrays[NEAREST_IS_PUBLIC] = nearest_is_public & ~result.failed
        if ATTRIBUTES in self.extras.wanted:
            for name, labels in _attributes(self.panel.truth).items():
                arrays[f"{ATTRIBUTE}{name}"] = probe_hits(seen, labels, self.panel.seed) & ~result.failed
        if CONSISTENCY in self.extras.wanted:
            arrays[CONSISTENCY] = np.where(result.failed, np.nan, self._target_cosine(result)).astype(np.float32)
        return arrays

    def of_all(self, result: Pass) -> tuple[dict[str, Interval], list[str]]:
        """Return the distances of distributions, and notes on those that could not be had."""
        found, notes = {}, []
        sound = ~result.failed
        for name in self.extras.wanted:
            if name in DISTANCES:
                try:
                    found[name] = DISTANCES[name](
                        result.seen[MAIN].features[sound], self.panel.originals[MAIN].features[sound]
                    )
                except BadInput as error:
                    notes.append(f"{name} not measured: {str(error).removeprefix(f'{name}: ')}")
        return found, notes

    def priors(self) -> dict[str, float]:
        """Return what each measured attribute, and a public nearest picture, would be without any knowledge."""
        known = {}
        if self._public is not None:
            known[NEAREST_IS_PUBLIC] = len(self._public) / (len(self._public) + len(self.panel.truth) - 1)
        if ATTRIBUTES in self.extras.wanted:
            attributes = _attributes(self.panel.truth)
            known |= {f"{ATTRIBUTE}{name}": label_free(labels) for name, labels in attributes.items()}
        return known

    def card(self, attacks: Iterable[Attack]) -> dict[str, Any]:
        """Return what the protocol says of the extras: which, which not and why, attributes, and a warning."""
        card: dict[str, Any] = {
            "panel": list(self.extras.wanted),
            "not_measured": dict(self.extras.not_measured),
            "attributes": self._attribute_card(),
        }
        together = [name for name in self.extras.wanted if name in DISTANCES]
        if together and not any(isinstance(attack, NearestNeighbour) for attack in attacks):
            card["warning"] = (
                f"{' and '.join(together)}: no nearest neighbour among the controls; real pictures of anything score "
                "well, so that these numbers show no leak without it"
            )
        return card

    def _attribute_card(self) -> dict[str, Any]:
        if ATTRIBUTES not in self.extras.wanted:
            return {}
        card = {}
        vectors = self.release.features.reshape(len(self.panel.truth), -1)
        for name, labels in _attributes(self.panel.truth).items():
            prior = label_free(labels)
            sources = {"vector": vectors, "original": self.panel.originals[MAIN].features}
            card[name] = {
                source: interval_json(
                    rate(probe_hits(features, labels, self.panel.seed), clusters=self.clusters, chance=prior)
                )
                for source, features in sources.items()
            } | {"prior": prior}
        return card

    def _public_features(self, public: ImageSet) -> np.ndarray:
        book, step = Notebook(len(public)), self.panel.batch_size
        for start in range(0, len(public), step):
            book.add(self.panel.judges[0], public.batch(np.arange(start, min(start + step, len(public)))))
        return book.done().features

    def _target_cosine(self, result: Pass) -> np.ndarray:
        victim, parts = self.release.victim, []
        assert victim is not None
        for start in range(0, len(self.panel.truth), self.panel.batch_size):
            rows = np.arange(start, min(start + self.panel.batch_size, len(self.panel.truth)))
            with torch.no_grad(), seeded(self.panel.seed, start):
                again = victim(result.pictures.batch(rows)).flatten(1).double().cpu()
            published = torch.from_numpy(self.release.features[rows]).flatten(1).double()
            parts.append(torch.nn.functional.cosine_similarity(again, published, dim=1).numpy())
        return np.concatenate(parts)


def label_free(labels: np.ndarray) -> float:
    """Return the best rate without any features: the share of the commonest label."""
    return float(np.unique(labels, return_counts=True)[1].max() / len(labels))


def _attributes(images: ImageSet) -> dict[str, np.ndarray]:
    known = {} if images.labels is None else {"label": np.asarray(images.labels)}
    for name, values in images.factors.items():
        if not np.array_equal(values, known.get("label", ())):  # the factor that the labels are made of
            known[name] = np.asarray(values)
    usable = {}
    for name, values in known.items():
        if 2 <= len(np.unique(values)) <= min(_MOST_LABELS, len(values) // FOLDS):
            usable[name] = values.astype(np.int64)
    return usable


def _trained_with(attack: Attack, metric: str) -> bool:
    if shares_network(network(metric), attack):
        return True
    barred: frozenset[str] = getattr(attack, "barred", frozenset())
    if not barred:
        return False
    whole = encoders.torchvision(NETWORKS[metric], layer="features", weights="IMAGENET1K_V1", input_size=64)
    return whole.weights_fingerprint in barred
