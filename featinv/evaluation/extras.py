"""What is measured only when asked for: it costs time, or needs weights, labels or the public images."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from featinv import encoders
from featinv.attacks import NearestNeighbour
from featinv.data import ImageSet
from featinv.evaluation.attack_score import interval_json
from featinv.evaluation.checks import shares_network
from featinv.evaluation.chosen_metrics import Chosen
from featinv.evaluation.distribution import KINDS, too_few
from featinv.evaluation.headroom import Headroom
from featinv.evaluation.intervals import Clusters, Interval, rate
from featinv.evaluation.judging import judge_features
from featinv.evaluation.mutual_information import MOST_PUBLIC, identified_bits, public_temperature
from featinv.evaluation.panel import MAIN, Panel, Pass, PerImage
from featinv.evaluation.persons import PersonMeasures
from featinv.evaluation.probes import attributes_of, label_free, memorisation, probe_hits
from featinv.evaluation.recovered_record import Recovered, RecoveredMeasure
from featinv.metrics import inception_features
from featinv.metrics.inception import inception_network
from featinv.metrics.perceptual import NETWORKS, network
from featinv.processes import seeded
from featinv.types import Attack, Images, PairsLike
from featinv.victim import Release, Victim

NEAREST_PUBLIC_RATE = "nearest_public_rate"
"""Measured with `memorised`: what that would be by chance is known."""
ATTRIBUTE = "attribute "
"""What the name of a measured attribute begins with."""


@dataclass(frozen=True)
class ExtraMeasures:
    """Measures the extras of one comparison; what all rows share is made once, by `prepare`.

    `public` holds the first judge's features of the public images, `inception` those of Inception of the originals;
    None where nothing asks for them. `headroom` is what public pairs say about the judges, where they are given.
    `temperature` is that of identified bits, `persons` what can be said of people, where clusters are given, and
    `recovered` measures which of the images' variance is recovered, where there are public images.
    """

    chosen: Chosen
    panel: Panel
    release: Release
    clusters: Clusters | None
    public: np.ndarray | None
    inception: np.ndarray | None
    headroom: Headroom | None = None
    temperature: float | None = None
    persons: PersonMeasures | None = None
    recovered: RecoveredMeasure | None = None

    @classmethod
    def prepare(
        cls,
        chosen: Chosen,
        panel: Panel,
        release: Release,
        public: ImageSet | None,
        clusters: Clusters | None,
        *,
        pairs: PairsLike | None = None,
    ) -> "ExtraMeasures":
        """Run the networks whose features all rows share."""
        public_features = (
            judge_features(panel.judges[0], public, panel.batch_size)
            if "memorised" in chosen.wanted and public is not None
            else None
        )
        originals = _inception_rows(panel, panel.truth.batch) if chosen.measured("inception") else None
        headroom = None if pairs is None else Headroom.prepare(pairs, panel, release)
        temperature = (
            _temperature(panel, release.victim, public)
            if "identified_bits" in chosen.wanted and public is not None and release.victim is not None
            else None
        )
        persons = None if clusters is None else PersonMeasures.prepare(panel, clusters)
        recovered = RecoveredMeasure.prepare(panel, public, clusters)
        return cls(
            chosen, panel, release, clusters, public_features, originals, headroom, temperature, persons, recovered
        )

    def skipped(self, attack: Attack) -> dict[str, str]:
        """Name the metrics whose network the attack was trained with, and say so: they judge it no more."""
        why = "not measured: the attack was trained with the weights of its network"
        reasons = {}
        for name in self.chosen.wanted:
            if name in NETWORKS and _trained_with(attack, name):
                reasons[name] = f"{name} {why}"
        for metric in self.chosen.measured("inception"):
            if shares_network(inception_network(), attack):
                reasons[metric.name] = f"{metric.name} {why}"
        return reasons

    def of_images(self, result: Pass) -> PerImage:
        """Return the extra numbers of every reconstruction."""
        arrays: PerImage = {} if self.headroom is None else self.headroom.whitened(result, self.panel)
        arrays |= {} if self.persons is None else self.persons.of_images(result)
        features, original = result.outputs[MAIN].features, self.panel.originals[MAIN].features
        if self.public is not None:
            memorised, nearest_public_rate = memorisation(features, original, self.public)
            arrays["memorised"] = memorised & ~result.failed
            arrays[NEAREST_PUBLIC_RATE] = nearest_public_rate & ~result.failed
        if self.temperature is not None:
            bits = identified_bits(features, original, self.temperature)
            arrays["identified_bits"] = np.where(result.failed, np.nan, bits).astype(np.float32)
        if "attributes" in self.chosen.wanted:
            for name, labels in attributes_of(self.panel.truth).items():
                arrays[f"{ATTRIBUTE}{name}"] = probe_hits(features, labels, self.panel.seed) & ~result.failed
        if "target_cosine" in self.chosen.wanted:
            arrays["target_cosine"] = np.where(result.failed, np.nan, self._target_cosine(result)).astype(np.float32)
        return arrays

    def of_all(self, result: Pass) -> tuple[dict[str, dict[str, Interval]], list[str]]:
        """Return, by view, distances of distributions and rates of people, and notes on what could not be had."""
        rows = {"distribution": (result.outputs[MAIN].features, self.panel.originals[MAIN].features)}
        distances = [*self.chosen.measured("distribution")]
        if self.inception is not None:
            rows["inception"] = (_inception_rows(self.panel, result.images.batch), self.inception)
            distances += self.chosen.measured("inception")
        by_view: dict[str, dict[str, Interval]] = {MAIN: {}}
        if self.persons is not None:
            by_view |= self.persons.of_all(result)
        notes = []
        sound = ~result.failed
        for metric in distances:
            reconstructed, original = (features[sound] for features in rows[metric.needs])
            reason = too_few(KINDS[metric.name], *original.shape)
            if reason is None and metric.name not in result.without:
                assert metric.function is not None
                by_view[MAIN][metric.name] = metric.function(reconstructed, original)
            elif reason is not None:
                notes.append(f"{metric.name} not measured: {reason}")
        return by_view, notes

    def recovered_by(self, result: Pass) -> Recovered | None:
        """Return which share of the images' variance one attack recovers; None without public images."""
        return None if self.recovered is None else self.recovered.of(result)

    def priors(self) -> dict[str, float]:
        """Return what each measured attribute, and a public nearest image, would be without any knowledge."""
        chances = {} if self.persons is None else self.persons.priors()
        if self.public is not None:
            chances[NEAREST_PUBLIC_RATE] = len(self.public) / (len(self.public) + len(self.panel.truth) - 1)
        if "attributes" in self.chosen.wanted:
            attributes = attributes_of(self.panel.truth)
            chances |= {f"{ATTRIBUTE}{name}": label_free(labels) for name, labels in attributes.items()}
        return chances

    def metadata(self, attacks: Iterable[Attack]) -> dict[str, Any]:
        """Return what the protocol says of the extras: which, which not and why, attributes, and a warning."""
        metadata: dict[str, Any] = {**self.chosen.metadata(), "attributes": self._attribute_metadata()}
        if self.persons is not None:
            metadata["persons"] = self.persons.metadata()
            metadata["not_measured"] |= self.persons.not_measured()
        if self.temperature is not None:
            metadata["identified_bits"] = {"temperature": self.temperature}
        together = [name for name in self.chosen.wanted if name in KINDS]
        if together and not any(isinstance(attack, NearestNeighbour) for attack in attacks):
            metadata["warning"] = (
                f"{' and '.join(together)}: no nearest neighbour among the controls; real images of anything score "
                "well, so that these numbers show no leak without it"
            )
        return metadata

    def _attribute_metadata(self) -> dict[str, Any]:
        if "attributes" not in self.chosen.wanted:
            return {}
        metadata = {}
        vectors = self.release.features.reshape(len(self.panel.truth), -1)
        for name, labels in attributes_of(self.panel.truth).items():
            prior = label_free(labels)
            sources = {"vector": vectors, "original": self.panel.originals[MAIN].features}
            metadata[name] = {
                source: interval_json(
                    rate(probe_hits(features, labels, self.panel.seed), clusters=self.clusters, chance=prior)
                )
                for source, features in sources.items()
            } | {"prior": prior}
        return metadata

    def _target_cosine(self, result: Pass) -> np.ndarray:
        victim, parts = self.release.victim, []
        assert victim is not None
        for rows in self.panel.batches():
            with torch.no_grad(), seeded(self.panel.seed, int(rows[0])):
                again = victim(result.images.batch(rows)).flatten(1).double().cpu()
            published = torch.from_numpy(self.release.features[rows]).flatten(1).double()
            parts.append(torch.nn.functional.cosine_similarity(again, published, dim=1).numpy())
        return np.concatenate(parts)


def _temperature(panel: Panel, victim: Victim, public: ImageSet) -> float:
    """Return the temperature of identified bits, from public images and their vectors alone."""
    chosen = np.sort(np.random.default_rng([panel.seed, 9]).permutation(len(public))[:MOST_PUBLIC])
    vectors = victim.publish(public, chosen, seed=panel.seed, block_number=0, batch_size=panel.batch_size)
    features = judge_features(panel.judges[0], public.take(chosen), panel.batch_size)
    return public_temperature(vectors.reshape(len(chosen), -1), features, seed=panel.seed)


def _inception_rows(panel: Panel, batch: Callable[[np.ndarray], Images]) -> np.ndarray:
    return np.concatenate([inception_features(batch(rows)).numpy() for rows in panel.batches()])


def _trained_with(attack: Attack, metric: str) -> bool:
    if shares_network(network(metric), attack):
        return True
    excluded: frozenset[str] = getattr(attack, "excluded_judges", frozenset())
    if not excluded:
        return False
    whole = encoders.torchvision(NETWORKS[metric], layer="features", weights="IMAGENET1K_V1", input_size=64)
    return whole.weights_fingerprint in excluded
