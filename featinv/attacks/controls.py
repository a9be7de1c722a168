"""Controls: attacks that any attack must beat."""

import hashlib
from typing import Any, TypeVar, final

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from featinv import configuration
from featinv.attacks.checks import Layout, check_features, check_positive, check_tensors
from featinv.attacks.passes import feature_moments, pair_blocks
from featinv.attacks.ridge import NormalEquations
from featinv.attacks.tensor_attack import TensorAttack
from featinv.errors import BadInput
from featinv.types import Attack, Features, Images, PairsLike


@final
class MeanImage(TensorAttack):
    """features -> the mean of the public images, whatever the vector: what an attacker knows without any release."""

    kind = "control"

    def _learn(self, pairs: PairsLike) -> dict[str, Tensor]:
        total = torch.zeros(3 * pairs.image_size**2, dtype=torch.float64)
        for _, _, images in pair_blocks(pairs, "mean image"):
            total += images.sum(0, dtype=torch.float64)
        return {"mean": (total / len(pairs)).float().reshape(3, pairs.image_size, pairs.image_size)}

    def _decode(self, features: Float[Tensor, "B D"]) -> Images:
        return self.tensors["mean"].repeat(len(features), 1, 1, 1)

    def _layout(self, width: int, size: int) -> Layout:
        return {"mean": (torch.float32, (3, size, size))}


@final
class PredictedClassMean(TensorAttack):
    """features -> the mean public image of the class that a linear classifier reads from the vector.

    The classifier is ridge, one class against all, on standardised features and the public labels; `penalty` is added
    to the un-normalised Gram matrix. Raises BadInput where the public images have no labels.
    """

    kind = "control"

    def __init__(self, penalty: int | float = 10.0) -> None:
        super().__init__()
        check_positive("penalty", penalty)
        self.penalty = penalty

    def _learn(self, pairs: PairsLike) -> dict[str, Tensor]:
        if pairs.labels is None:
            raise BadInput("pairs: expected public images with labels for PredictedClassMean, got none; leave it out")
        classes, inverse = np.unique(np.asarray(pairs.labels), return_inverse=True)
        numbers = torch.from_numpy(inverse.reshape(-1))
        moments = feature_moments(pairs)
        mean, scale = moments.mean, moments.scale
        equations = NormalEquations(len(mean), len(classes))
        sums = torch.zeros(len(classes), 3 * pairs.image_size**2, dtype=torch.float64)
        for start, features, images in pair_blocks(pairs, "class means"):
            block = numbers[start : start + len(features)]
            equations.add((features - mean) / scale, nn.functional.one_hot(block, len(classes)).float())
            sums.index_add_(0, block, images.double())
        weight, bias = equations.solve(self.penalty)
        batch = (sums / numbers.bincount(minlength=len(classes))[:, None]).float()
        batch = batch.reshape(-1, 3, pairs.image_size, pairs.image_size)
        return {"mean": mean, "scale": scale, "weight": weight, "bias": bias, "images": batch}

    def _decode(self, features: Float[Tensor, "B D"]) -> Images:
        t = self.tensors
        # In float64, so that rounding, which differs with the batch, does not settle a close call between two classes.
        scores = torch.addmm(t["bias"].double(), ((features - t["mean"]) / t["scale"]).double(), t["weight"].double())
        return t["images"][scores.argmax(dim=1)]

    def _layout(self, width: int, size: int) -> Layout:
        vector = (torch.float32, (width,))
        return {
            "mean": vector,
            "scale": vector,
            "weight": (torch.float32, (width, "classes")),
            "bias": (torch.float32, ("classes",)),
            "images": (torch.float32, ("classes", 3, size, size)),
        }


SOURCES = ("normal", "matched")
Fitted = TypeVar("Fitted", bound="RandomVector")


@final
class RandomVector:
    """features -> what a fitted attack makes of a random vector in their place: its prior, without the release.

    `source="normal"` draws N(0, 1) numbers, as in the paper; pooled features are never negative, so that these lie far
    from any image's. `source="matched"` draws normal numbers with the public mean and deviation of each dimension,
    clipped to its public minimum and maximum. The draw is keyed by `seed` and the bytes of the vector that it replaces,
    not by its row: a reconstruction neither changes with its batch mates nor with how the rows are split into batches,
    and two equal vectors get the same draw. `fit` only measures the public moments; `attack` must be fitted before.
    Raises BadInput for another source, and for an attack that is not fitted or is fitted on other features.
    """

    kind = "control"

    def __init__(self, attack: Attack, *, source: str = "normal", seed: int = 0) -> None:
        if source not in SOURCES:
            raise BadInput(f"source: expected normal or matched, got {source!r}")
        self.attack = attack
        self.source = source
        self.seed = seed
        self.feature_shape: tuple[int, ...] = ()
        self.image_size: int = 0
        self.victim: dict[str, Any] = {}
        self.tensors: dict[str, Tensor] = {}

    def __repr__(self) -> str:
        return f"RandomVector({self.attack!r}, source={self.source!r}, seed={self.seed})"

    @property
    def parameters(self) -> int:
        """Those of the attack, and the public moments."""
        return self.attack.parameters + sum(tensor.numel() for tensor in self.tensors.values())

    def fit(self: Fitted, pairs: PairsLike) -> Fitted:
        """Measure the public moments of each dimension. Raises BadInput unless the attack is fitted on such pairs."""
        inner = tuple(getattr(self.attack, "feature_shape", ()))
        if inner != tuple(pairs.feature_shape):
            raise BadInput(
                f"attack: expected one fitted on features of shape {tuple(pairs.feature_shape)}, got {self.attack!r} "
                f"{f'fitted on {inner}' if inner else 'before fit(pairs)'}; fit it on these pairs first"
            )
        moments = feature_moments(pairs)
        self.tensors = {"mean": moments.mean, "deviation": moments.deviation, "low": moments.low, "high": moments.high}
        self.feature_shape = inner
        self.image_size = int(pairs.image_size)
        self.victim = dict(pairs.metadata)
        return self

    def reconstruct(self, features: Features) -> Images:
        """Reconstruct the images (B, 3, S, S) of random vectors; `features` (B, *F) only key the draws."""
        if not self.tensors:
            raise BadInput("RandomVector: expected a fitted attack, got one before fit(pairs); fit it first")
        rows = check_features(features, self.feature_shape)
        drawn = self.draw(rows.flatten(1)).reshape(rows.shape).to(features.device)
        images: Images = self.attack.reconstruct(drawn)
        return images

    def draw(self, rows: Float[Tensor, "B D"]) -> Float[Tensor, "B D"]:
        """Return the random vector that stands for each row."""
        drawn = torch.empty_like(rows)
        for number, row in enumerate(rows.contiguous().numpy()):
            key = hashlib.blake2b(row.tobytes(), digest_size=16, key=str(self.seed).encode()).digest()
            philox = np.random.Philox(key=np.frombuffer(key, dtype="<u8"))
            normal = np.random.Generator(philox).standard_normal(rows.shape[1], dtype=np.float32)
            drawn[number] = torch.from_numpy(normal)
        if self.source == "normal":
            return drawn
        t = self.tensors
        return (t["mean"] + t["deviation"] * drawn).clamp(t["low"], t["high"])

    def state(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """Return a JSON-able configuration and the tensors, those of the attack within under `attack.`."""
        if not self.tensors:
            raise BadInput("RandomVector: expected a fitted attack to save, got one before fit(pairs)")
        inner_config, inner_tensors = self.attack.state()  # type: ignore[attr-defined]
        config = {
            "args": {"source": self.source, "seed": self.seed},
            "attack": {"class": configuration.public_path(type(self.attack)), "config": inner_config},
            "feature_shape": list(self.feature_shape),
            "image_size": self.image_size,
            "victim": self.victim,
        }
        return config, self.tensors | {f"attack.{name}": tensor for name, tensor in inner_tensors.items()}

    @classmethod
    def from_state(cls: type[Fitted], config: dict[str, Any], tensors: dict[str, Tensor], allow: Any = ()) -> Fitted:
        """Rebuild it with the attack within; raises BadInput when the tensors are not those of the two."""
        inner = {name.removeprefix("attack."): t for name, t in tensors.items() if name.startswith("attack.")}
        kind: Any = configuration.trusted_class(str(config["attack"]["class"]), allow)
        attack: Any = kind.from_state(config["attack"]["config"], inner, allow)
        control = cls(attack, **config["args"])
        control.feature_shape = tuple(int(size) for size in config["feature_shape"])
        control.image_size = int(config["image_size"])
        if (control.feature_shape, control.image_size) != (tuple(attack.feature_shape), attack.image_size):
            raise BadInput(
                f"RandomVector: expected the shapes of {attack!r}, got {control.feature_shape} and {control.image_size}"
            )
        control.victim = dict(config["victim"])
        control.tensors = {name: tensor for name, tensor in tensors.items() if not name.startswith("attack.")}
        vector = (torch.float32, (torch.Size(control.feature_shape).numel(),))
        check_tensors(control.tensors, dict.fromkeys(("mean", "deviation", "low", "high"), vector))
        return control
