"""What each attack of a comparison recovers, measured with its other numbers and kept in the scoreboard's JSON."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float64, Int64
from torch import Tensor

from featinv.data import ImageSet
from featinv.errors import BadInput
from featinv.evaluation.attack_score import interval_json
from featinv.evaluation.calibration_spaces import PUBLIC_IMAGES
from featinv.evaluation.frequency_bands import COLOURS, band_squares
from featinv.evaluation.intervals import Clusters, Interval
from featinv.evaluation.panel import Panel, Pass
from featinv.evaluation.recovered import CELLS, RecoveredSpectrum, cell_colours, cell_squares, shares_of, spectrum_of

KEY = "recovered"
"""where the protocol of a scoreboard has it"""
MOST_IMAGES = 2000
"""private images, drawn by the seed, on which it is measured: more would not narrow the intervals visibly"""
_LEAST = 2
_PUBLIC, _PRIVATE = 12, 13


@dataclass(frozen=True)
class Recovered:
    """The share of the images' variance that an attack recovers, by octave and colour, and by cell."""

    spectrum: RecoveredSpectrum
    cells: Float64[np.ndarray, "c c"]

    def as_json(self) -> dict[str, Any]:
        """Return it in the shape of `scoreboard.json`."""
        shares = [
            {"octave": octave, "colour": colour, "weight": self.spectrum.weights[octave, colour]} | interval_json(share)
            for (octave, colour), share in self.spectrum.shares.items()
        ]
        return {"shares": shares, "cells": self.cells.tolist()}


@dataclass(frozen=True)
class PublicKnowledge:
    """What public images say without any vector: their mean image, and how much the colours of each cell vary."""

    mean: Tensor
    cell_variance: Float64[np.ndarray, "c c"]

    @classmethod
    def of(cls, public: ImageSet, *, seed: int = 0, batch_size: int = 256) -> "PublicKnowledge":
        """Read at most 5,000 images, drawn by the seed, in blocks."""
        rows = np.sort(np.random.default_rng([seed, _PUBLIC]).permutation(len(public))[:PUBLIC_IMAGES])
        total = torch.zeros(3, public.size, public.size, dtype=torch.float64)
        cells = []
        for start in range(0, len(rows), batch_size):
            images = public.batch(rows[start : start + batch_size])
            total += images.double().sum(0)
            cells.append(cell_colours(images, CELLS).double())
        return cls((total / len(rows)).float(), torch.cat(cells).var(dim=0).sum(0).numpy())


@dataclass(frozen=True)
class RecoveredMeasure:
    """Measures every attack of a comparison on the same private images; what all of them share is made by `prepare`."""

    panel: Panel
    public: PublicKnowledge
    rows: Int64[np.ndarray, " R"]
    variance: Float64[np.ndarray, "R bands 3"]
    clusters: Clusters | None

    @classmethod
    def prepare(cls, panel: Panel, public: ImageSet | None, clusters: Clusters | None) -> "RecoveredMeasure | None":
        """Return it; None without public images of the private ones' size: their mean image is compared with."""
        truth = panel.truth
        if public is None or public.size != truth.size or min(len(public), len(truth)) < _LEAST:
            return None
        known = PublicKnowledge.of(public, seed=panel.seed, batch_size=panel.batch_size)
        drawn = np.random.default_rng([panel.seed, _PRIVATE]).permutation(len(truth))[:MOST_IMAGES]
        rows = np.sort(drawn).astype(np.int64)
        blocks = [band_squares((truth.batch(part) - known.mean).numpy()) for part in _blocks(rows, panel)]
        return cls(panel, known, rows, np.concatenate(blocks), None if clusters is None else clusters[rows])

    def of(self, result: Pass) -> Recovered:
        """Return what the reconstructions of one attack recover."""
        errors, size = [], self.panel.truth.size
        cell_error, cell_variance = np.zeros_like(self.public.cell_variance), np.zeros_like(self.public.cell_variance)
        for part in _blocks(self.rows, self.panel):
            images, originals = result.images.batch(part), self.panel.truth.batch(part)
            errors.append(band_squares((images - originals).numpy()))
            error, variance = cell_squares(images, originals, self.public.mean, CELLS)
            cell_error, cell_variance = cell_error + error, cell_variance + variance
        spectrum = spectrum_of(
            np.concatenate(errors), self.variance, size, clusters=self.clusters, seed=self.panel.seed
        )
        return Recovered(spectrum, shares_of(cell_error, cell_variance))

    def metadata(self, attacks: Mapping[str, Recovered]) -> dict[str, Any]:
        """Return what the protocol says: numbers only, and of the public images how much their cells vary."""
        return {
            "images": len(self.rows),
            "public_cell_variance": self.public.cell_variance.tolist(),
            "attacks": {name: recovered.as_json() for name, recovered in attacks.items()},
        }


def public_cell_variance(public: ImageSet, *, seed: int = 0) -> Float64[np.ndarray, "c c"]:
    """Return how much the colours of 8 x 8 cells vary over public images (at most 5,000): what no vector is needed for.

    Cells of smaller images are pixels. Raises BadInput for fewer than 2 images.
    """
    if len(public) < _LEAST:
        raise BadInput(f"public: expected at least {_LEAST} images, got {len(public)}; give those of the pairs")
    return PublicKnowledge.of(public, seed=seed).cell_variance


def read_recovered(protocol: Mapping[str, Any]) -> dict[str, Recovered]:
    """Return what a protocol says of each attack, by name; nothing where it was not measured.

    Raises KeyError, TypeError or ValueError for anything else.
    """
    attacks = (protocol.get(KEY) or {}).get("attacks", {})
    return {str(name): _read(entry) for name, entry in attacks.items()}


def read_cell_variance(protocol: Mapping[str, Any]) -> Float64[np.ndarray, "c c"] | None:
    """Return how much the cells of the public images vary, as the protocol says; None where it does not."""
    cells = (protocol.get(KEY) or {}).get("public_cell_variance")
    return None if cells is None else _square(cells)


def _read(entry: Mapping[str, Any]) -> Recovered:
    shares, weights = {}, {}
    for row in entry["shares"]:
        key = (str(row["octave"]), str(row["colour"]))
        shares[key] = Interval(float(row["mean"]), float(row["low"]), float(row["high"]), int(row["n"]))
        weights[key] = float(row["weight"])
    octaves = tuple(dict.fromkeys(octave for octave, _ in shares))
    if set(shares) != {(octave, colour) for octave in octaves for colour in COLOURS}:
        raise ValueError("recovered shares of some octaves or colours are missing")
    return Recovered(RecoveredSpectrum(octaves, shares, weights), _square(entry["cells"]))


def _square(cells: Any) -> Float64[np.ndarray, "c c"]:
    array = np.array(cells, dtype=np.float64)
    if array.ndim != 2 or array.shape[0] != array.shape[1] or not array.size:
        raise ValueError(f"expected a square table of cells, got one of shape {array.shape}")
    return array


def _blocks(rows: Int64[np.ndarray, " R"], panel: Panel) -> list[np.ndarray]:
    return np.array_split(rows, max(1, -(-len(rows) // panel.batch_size)))
