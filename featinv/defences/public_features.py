"""Public features that a defence is fitted on, in whatever form the caller has them."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Float64

from featinv.errors import BadInput


@dataclass(frozen=True, eq=False)
class Spectrum:
    """Mean (D,) of the public vectors, and variances (D,) along the columns of `basis` (D, D), the least first."""

    mean: Float64[np.ndarray, " D"]
    values: Float64[np.ndarray, " D"]
    basis: Float64[np.ndarray, "D D"]


@dataclass(frozen=True, eq=False)
class PublicFeatures:
    """N flat public vectors, their shape before, and what is known of their labels and of the victim behind them."""

    rows: Float[np.ndarray, "N D"]
    feature_shape: tuple[int, ...]
    labels: np.ndarray | None
    encoder_fingerprint: str | None
    layer: str | None

    @cached_property
    def spectrum(self) -> Spectrum:
        """The covariance (divided by N - 1) of the vectors in its eigenbasis: computed once for all that read it."""
        mean = self.rows.mean(axis=0, dtype=np.float64)
        centred = self.rows - mean
        values, basis = np.linalg.eigh(centred.T @ centred / max(1, len(centred) - 1))
        return Spectrum(mean, values, basis)

    def require(self, count: int, what: str) -> None:
        """Raise BadInput unless there are at least `count` vectors, as `what` needs."""
        if len(self.rows) < count:
            raise BadInput(
                f"{what}: expected at least {count} public vectors, got {len(self.rows)}; "
                "give more public vectors, or fewer of these"
            )


def read_public(name: str, public: Any, labels: Any) -> PublicFeatures:
    """Read Pairs, Vectors, or an array or tensor of features; raise BadInput that begins with `name`.

    What was read already is returned as it is: several defences then share what is computed from it.
    """
    if isinstance(public, PublicFeatures) and (labels is None or labels is public.labels):
        return public
    metadata = getattr(public, "metadata", None) or {}
    array = _array(name, public)
    if array.ndim not in (2, 4) or 0 in array.shape:
        raise BadInput(f"{name}: expected public features of shape (N, D) or (N, C, h, w), got {array.shape}")
    if not np.isfinite(array).all():
        row = int(np.argmin(np.isfinite(array).reshape(len(array), -1).all(axis=1)))
        raise BadInput(f"{name}: expected finite public features, got NaN or infinity in row {row}; leave it out")
    _check_undefended(name, metadata)
    if labels is None and not isinstance(public, np.ndarray | torch.Tensor):
        labels = getattr(public, "labels", None)
    if labels is not None:
        labels = np.asarray(labels)
        if labels.shape != (len(array),):
            raise BadInput(
                f"{name}: expected one label for each of {len(array)} public vectors, got shape {labels.shape}"
            )
    rows = np.ascontiguousarray(array.reshape(len(array), -1), dtype=np.float32)
    fingerprint, layer = metadata.get("encoder_fingerprint"), metadata.get("layer")
    return PublicFeatures(rows, tuple(array.shape[1:]), labels, fingerprint, layer)


def _array(name: str, public: Any) -> np.ndarray:
    if isinstance(public, torch.Tensor):
        return public.detach().cpu().float().numpy()
    if isinstance(public, np.ndarray):
        return public
    features = getattr(public, "features", None)
    if isinstance(features, np.ndarray):
        return features
    if callable(features):
        gathered: np.ndarray = features(np.arange(len(public)))
        return gathered
    raise BadInput(f"{name}: expected public features (Pairs, Vectors, array or tensor), got {type(public).__name__}")


def _check_undefended(name: str, metadata: Mapping[str, Any]) -> None:
    defence = metadata.get("defence")
    if defence not in (None, "", "Identity()"):
        raise BadInput(
            f"{name}: expected public features as the encoder makes them, got ones defended by {defence}; "
            "extract them from a victim without a defence"
        )
