"""Linear maps: principal components, a secret rotation, the removal of what predicts an attribute."""

import hashlib
from typing import final

import numpy as np
import torch
from jaxtyping import Float
from sklearn.decomposition import PCA as PrincipalComponents
from torch import Tensor

from featinv.defences.defence import Learned, check_count
from featinv.defences.public_features import PublicFeatures
from featinv.errors import BadInput


@final
class PCA(Learned):
    """Keep the `k` leading principal components of the public features; the identity at None.

    The released vector is the projection, in the features' own coordinates, so that what reads features can read it;
    with `coordinates=True` it is the k coordinates (B, k), which carry the same information. Raises BadInput for k
    below 1, and in `fit` for fewer public vectors or numbers than components.
    """

    mean: Tensor
    components: Tensor

    def __init__(self, k: int | None = None, coordinates: bool = False) -> None:
        super().__init__()
        check_count("k", k, least=1, nothing="all components")
        self.k, self.coordinates = k, coordinates

    @property
    def is_identity(self) -> bool:
        """Whether all components are kept."""
        return self.k is None

    def _learn(self, data: PublicFeatures) -> dict[str, np.ndarray]:
        k = self.k or 1
        data.require(k, f"PCA(k={k})")
        if k > data.rows.shape[1]:
            raise BadInput(f"PCA: expected at most {data.rows.shape[1]} components, the width, got k={k}")
        components = PrincipalComponents(k, svd_solver="auto", random_state=0).fit(data.rows)
        return {"mean": components.mean_, "components": components.components_}

    def _defend(self, rows: Float[Tensor, "B D"]) -> Float[Tensor, "B E"]:
        coordinates = (rows - self.mean) @ self.components.T
        return coordinates if self.coordinates else torch.addmm(self.mean, coordinates, self.components)

    def extra_repr(self) -> str:
        """Show the strength."""
        return f"k={self.k}, coordinates={self.coordinates}"


@final
class RandomRotation(Learned):
    """Multiply every vector by a secret orthogonal matrix that is drawn by `key`; the identity at None.

    It keeps distances and angles, and so all utility that rests on them. A few known pairs, or none, are enough to
    undo it (see docs/defences.md). `fit` reads the width only. The key is not shown, but a saved folder holds it. The
    ceiling of re-identification is that of an attacker who has the key. Raises BadInput unless `key` is a whole number
    or a string.
    """

    rotation: Tensor

    def __init__(self, key: int | str | None = None) -> None:
        super().__init__()
        if key is not None and (isinstance(key, bool) or not isinstance(key, int | str)):
            raise BadInput(
                f"key: expected a whole number or a string, or None for no rotation, got {type(key).__name__}"
            )
        self.key = key

    @property
    def is_identity(self) -> bool:
        """Whether nothing is rotated."""
        return self.key is None

    def _learn(self, data: PublicFeatures) -> dict[str, np.ndarray]:
        width = data.rows.shape[1]
        seed = int.from_bytes(hashlib.sha256(f"featinv rotation {self.key!r}".encode()).digest())
        matrix, triangle = np.linalg.qr(np.random.default_rng(seed).standard_normal((width, width)))
        return {"rotation": matrix * np.sign(np.diag(triangle))}  # the signs make it uniform (math-ph/0609050)

    def _defend(self, rows: Float[Tensor, "B D"]) -> Float[Tensor, "B D"]:
        return rows @ self.rotation.T

    def extra_repr(self) -> str:
        """Show whether there is a key, and never which."""
        return "key=None" if self.key is None else "key=hidden"


@final
class RemoveSubspace(Learned):
    """Remove the directions that predict `attribute` linearly, changing the features as little as possible.

    Afterwards no linear classifier of the attribute does better than a constant on the public features (LEACE,
    arXiv:2306.03819, theorem 4.3); a non-linear one may. `attribute` is its name, for the reader; `fit(features,
    labels)` has its values, one class a vector (default: the labels of the pairs). `rank` bounds how many directions
    are removed: None removes all (at most classes - 1), 0 is the identity. Raises BadInput for a negative rank, and in
    `fit` for no labels or a single class.
    """

    mean: Tensor
    removal: Tensor

    def __init__(self, attribute: str = "label", rank: int | None = None) -> None:
        super().__init__()
        check_count("rank", rank, least=0, nothing="all directions")
        self.attribute, self.rank = attribute, rank

    @property
    def is_identity(self) -> bool:
        """Whether no direction is removed."""
        return self.rank == 0

    def _learn(self, data: PublicFeatures) -> dict[str, np.ndarray]:
        if data.labels is None:
            raise BadInput(
                f"RemoveSubspace: expected labels of {self.attribute!r}, got none; give fit(features, labels)"
            )
        classes, labels = np.unique(data.labels, return_inverse=True)
        if len(classes) < 2:
            raise BadInput(f"RemoveSubspace: expected at least two classes of {self.attribute!r}, got {len(classes)}")
        data.require(2, "RemoveSubspace")
        mean, values, basis = data.spectrum.mean, data.spectrum.values, data.spectrum.basis
        centred = data.rows - mean
        one_hot = np.eye(len(classes))[labels.reshape(-1)]
        varied = values > 1e-10 * max(float(values.max()), np.finfo(np.float64).tiny)
        spread, basis = np.sqrt(values[varied]), basis[:, varied]
        whitened = (basis / spread).T @ (centred.T @ (one_hot - one_hot.mean(axis=0)) / len(centred))
        left, strengths, _ = np.linalg.svd(whitened, full_matrices=False)
        kept = left[:, strengths > 1e-8 * max(float(strengths.max()), 1e-8)][:, : self.rank]
        return {"mean": mean, "removal": (basis * spread) @ kept @ kept.T @ (basis / spread).T}

    def _defend(self, rows: Float[Tensor, "B D"]) -> Float[Tensor, "B D"]:
        return rows - (rows - self.mean) @ self.removal.T

    def extra_repr(self) -> str:
        """Show what is removed."""
        return f"attribute={self.attribute!r}, rank={self.rank}"
