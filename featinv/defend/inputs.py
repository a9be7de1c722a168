"""The vectors and labels of both sides, read once and held against each other."""

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, final

import numpy as np
from jaxtyping import Float, Int64

import featinv as fi
from featinv.defences.public_features import PublicFeatures, read_public
from featinv.defend.candidates import units_of
from featinv.defend.head import read_head
from featinv.defend.labels import check_labels, class_names, class_numbers, read_labels
from featinv.defend.policy import CLASS_MEASURES, Keep, Policy
from featinv.defend.settings import DefendSettings
from featinv.errors import BadInput
from featinv.evaluation.utility import Head
from featinv.features.loading import content_digest
from featinv.plain_numbers import check_seed

LEAST_PUBLIC, LEAST_PRIVATE = 50, 10
FIT_NUMBERS = 2**23
"""numbers of public vectors that defences learn from at most, and"""
LEARN_NUMBERS = 2**23
"""that probes, neighbours and attackers learn from: 10,000 vectors of up to 838-d, 4,096 of 2,048"""
MOST_SHARED = 0.01
"""share of the smaller side up to which equal vectors may be chance (an encoder's zero vector, copies)"""
ASK_NUMBERS = 2**21
"""numbers of the private vectors on which utility is measured: 2,000 vectors of up to 1,048, 1,024 of 2,048"""
MOST_LEARN, MOST_FIT, MOST_ASKED, LEAST_ASKED = 10_000, 20_000, 2_000, 1_000


@final
@dataclass(frozen=True, eq=False)
class Inputs:
    """Undefended vectors (N, D) and (M, D), flat, their classes where known, and what tells them from others.

    `shape` is that of one vector as the encoder makes it, `metadata` what the public file says of its victim, and
    `head` the untouched classifier of undefended vectors. Rows are drawn by `seed`, so that every setting is measured
    on the same ones.
    """

    private: Float[np.ndarray, "N D"]
    public: Float[np.ndarray, "M D"]
    shape: tuple[int, ...]
    private_labels: Int64[np.ndarray, " N"] | None
    public_labels: Int64[np.ndarray, " M"] | None
    private_ids: list[str] | None
    public_ids: list[str] | None
    metadata: dict[str, Any]
    digests: dict[str, str]
    gallery: int
    seed: int
    notes: tuple[str, ...] = ()
    head: Head | None = None

    @cached_property
    def units(self) -> dict[str, float]:
        """What strengths are multiples of."""
        return units_of(self.public[self.fit_rows])

    @cached_property
    def fit_rows(self) -> Int64[np.ndarray, " F"]:
        """Public rows that defences learn from."""
        return self._rows(1, len(self.public), min(MOST_FIT, FIT_NUMBERS // self.width))

    @cached_property
    def fit_features(self) -> PublicFeatures:
        """Those rows, with what several defences learn from them computed once. Raises BadInput for NaN."""
        rows = self.fit_rows
        features = self.public[rows].reshape(-1, *self.shape)
        labels = None if self.public_labels is None else self.public_labels[rows]
        return read_public("--public-features", fi.Vectors(features, "public", None, self.metadata), labels)

    @cached_property
    def learn_rows(self) -> Int64[np.ndarray, " L"]:
        """Public rows that probes, neighbours and attackers learn from."""
        return self._rows(2, len(self.public), min(MOST_LEARN, LEARN_NUMBERS // self.width))

    @cached_property
    def gallery_rows(self) -> Int64[np.ndarray, " G"]:
        """Private rows among which each of them is looked for."""
        return self._rows(3, len(self.private), self.gallery)

    @cached_property
    def asked_rows(self) -> Int64[np.ndarray, " Q"]:
        """Private rows on which utility is measured."""
        return self._rows(4, len(self.private), min(MOST_ASKED, max(LEAST_ASKED, ASK_NUMBERS // self.width)))

    @property
    def width(self) -> int:
        """Numbers of a vector."""
        return self.public.shape[1]

    @property
    def labelled(self) -> bool:
        """Whether class utility can be measured."""
        return self.private_labels is not None or self.public_labels is not None

    def _rows(self, stream: int, count: int, most: int) -> Int64[np.ndarray, " K"]:
        drawn = np.random.default_rng([self.seed, 41, stream]).permutation(count)[: max(2, most)]
        return np.sort(drawn)


def open_inputs(settings: DefendSettings) -> Inputs:
    """Read vectors and labels. Raises BadInput for what cannot be read or used, and for sides that do not fit."""
    private, public = _vectors(settings, "features"), _vectors(settings, "public_features")
    labels = read_labels(settings.labels, private), read_labels(settings.public_labels, public)
    digests = {
        name: content_digest(path)
        for name in ("features", "public_features", "labels", "public_labels")
        if (path := getattr(settings, name)) is not None
    }
    inputs = _inputs(private, public, labels, digests, settings.asked, settings.kept, settings.gallery, settings.seed)
    if settings.head is None:
        return inputs
    if not inputs.labelled:
        raise BadInput("--head: its accuracy needs labels, and there are none; give --labels or --public-labels FILE")
    head = read_head(settings.head, class_names(*labels), inputs.width)
    return replace(inputs, head=head, digests={**digests, "head": content_digest(settings.head)})


def inputs_in_memory(
    private: Any,
    public: Any,
    private_labels: Any,
    public_labels: Any,
    policy: Policy,
    keep: Keep | None,
    gallery: int,
    seed: int,
) -> Inputs:
    """Return the inputs of arrays (N, D) or (N, C, h, w). Raises BadInput as `open_inputs` does."""
    sides = [
        fi.Vectors(np.asarray(side, dtype=np.float32), name)
        for name, side in (("private", private), ("public", public))
    ]
    labels = [
        None if given is None else check_labels(f"{name}_labels", np.asarray(given), side)
        for name, given, side in zip(("private", "public"), (private_labels, public_labels), sides, strict=True)
    ]
    return _inputs(sides[0], sides[1], (labels[0], labels[1]), {}, policy, keep, gallery, check_seed("seed", seed))


def _inputs(
    private: "fi.Vectors",
    public: "fi.Vectors",
    labels: tuple[np.ndarray | None, np.ndarray | None],
    digests: dict[str, str],
    policy: Policy,
    keep: Keep | None,
    gallery: int,
    seed: int,
) -> Inputs:
    """Hold both sides against each other and against what is demanded."""
    if private.feature_shape != public.feature_shape:
        raise BadInput(
            f"--public-features: expected vectors of shape {private.feature_shape} as in {private.source}, got "
            f"{public.feature_shape}; both sides must come from the same encoder and layer"
        )
    _check_encoder(private, public)
    _check_counts(private, public)
    shared = _shared(private, public)
    numbers = class_numbers({"private": labels[0], "public": labels[1]})
    gallery = min(gallery, len(private))
    policy.check_gallery(gallery)
    if keep is not None and keep.measure in CLASS_MEASURES and all(side is None for side in numbers.values()):
        raise BadInput(
            f"--keep: {keep} needs labels, and there are none, so that no setting could be confirmed; give --labels or "
            "--public-labels FILE, or demand recall@10>=P% or none"
        )
    return Inputs(
        private=_flat(private),
        public=_flat(public),
        shape=private.feature_shape,
        private_labels=numbers["private"],
        public_labels=numbers["public"],
        private_ids=private.ids,
        public_ids=public.ids,
        metadata=dict(public.metadata),
        digests=digests,
        gallery=gallery,
        seed=seed,
        notes=(*(f"{source_name(side.source)}: {note}" for side in (private, public) for note in side.notes), *shared),
    )


def _vectors(settings: DefendSettings, name: str) -> "fi.Vectors":
    path = getattr(settings, name)
    try:
        return fi.load_features(path, column=settings.column, id_column=settings.id_column)
    except BadInput as error:
        raise BadInput(f"--{name.replace('_', '-')}: {error}") from error


def _check_encoder(private: "fi.Vectors", public: "fi.Vectors") -> None:
    for key in ("encoder_fingerprint", "layer", "defence"):
        ours, theirs = (side.metadata.get(key) for side in (private, public))
        if key == "defence":
            for flag, value in (("--features", ours), ("--public-features", theirs)):
                if value not in (None, "", "Identity()"):
                    raise BadInput(
                        f"{flag}: expected undefended vectors, got ones defended by {value}; extract them anew"
                    )
        elif ours is not None and theirs is not None and ours != theirs:
            raise BadInput(
                f"--public-features: expected vectors of the encoder and layer of --features, got another "
                f"{key.replace('_', ' ')} ({theirs} instead of {ours}); extract both by one encoder"
            )


def _check_counts(private: "fi.Vectors", public: "fi.Vectors") -> None:
    for flag, side, least in (("--features", private, LEAST_PRIVATE), ("--public-features", public, LEAST_PUBLIC)):
        if len(side) < least:
            raise BadInput(f"{flag}: expected at least {least} vectors, got {len(side)} in {side.source}; give more")


def _shared(private: "fi.Vectors", public: "fi.Vectors") -> tuple[str, ...]:
    """Return a note on vectors of both sides. Raises BadInput for many: a defence would be fitted on private ones."""
    rows = {hash(row.tobytes()) for row in _flat(private)}
    shared = [number for number, row in enumerate(_flat(public)) if hash(row.tobytes()) in rows]
    if len(shared) > MOST_SHARED * min(len(private), len(public)):
        raise BadInput(
            f"--public-features: expected vectors of other images, got {len(shared)} that are in --features too (the "
            f"first in row {shared[0]}); leave them out of one side"
        )
    return (f"{len(shared)} public vectors equal a private one",) if shared else ()


def _flat(vectors: "fi.Vectors") -> np.ndarray:
    return np.asarray(vectors.features).reshape(len(vectors), -1)


def source_name(path: str) -> str:
    """Return the name of a file without its folders, which a report does not tell."""
    return Path(path).name
