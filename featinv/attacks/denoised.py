"""Denoise, then decode: the undefended attack on the posterior mean of the clean vectors."""

from collections.abc import Iterator
from typing import Any, TypeVar, final

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from featinv import configuration
from featinv.attacks.checks import Layout, check_features, check_tensors
from featinv.attacks.passes import rows_that_fit
from featinv.attacks.ridge import NormalEquations
from featinv.errors import BadInput
from featinv.types import Attack, Features, Images, PairsLike

METHODS = ("linear", "empirical")
BANK_ROWS = 10_000
"""clean public vectors that the empirical prior consists of, at most"""
HELD_OUT = 1000
PENALTY = 1e-4
"""share of the mean variance that is added to each: enough where vectors outnumber pairs"""
Fitted = TypeVar("Fitted", bound="Denoised")


@final
class Denoised:
    """features -> what an attack on undefended vectors makes of the clean vector that is expected behind each.

    `attack` was fitted on `clean`, the public pairs without the defence; `fit` takes the same images with the defence,
    and learns the posterior mean of the clean vector: linear, which is Wiener's filter where the public vectors are
    Gaussian and holds for any defence; or over the empirical prior, sum_j w_j x_j with w_j proportional to
    exp(-sum_d (y_d - x_jd)^2 / (2 s_d^2)), which is exact for Gaussian noise of deviation s around one of the public
    vectors. `chosen` is the one of the smaller squared error on held-out public vectors. Raises BadInput for an attack
    that is not fitted on features of the clean pairs' shape, and in `fit` for pairs of other images.
    """

    kind = "attack"

    def __init__(self, attack: Attack, clean: Any) -> None:
        inner = tuple(getattr(attack, "feature_shape", ()))
        if clean is not None and inner != tuple(clean.feature_shape):
            raise BadInput(
                f"attack: expected one fitted on features of shape {tuple(clean.feature_shape)}, got {attack!r} "
                f"{f'fitted on {inner}' if inner else 'before fit(pairs)'}; fit it on the clean pairs first"
            )
        self.attack = attack
        self._clean = clean
        self.feature_shape: tuple[int, ...] = ()
        self.image_size: int = 0
        self.victim: dict[str, Any] = {}
        self.chosen: str = ""
        self.tensors: dict[str, Tensor] = {}

    def __repr__(self) -> str:
        return f"Denoised({self.attack!r})"

    @property
    def parameters(self) -> int:
        """Those of the attack, and the numbers of the posterior mean."""
        return self.attack.parameters + sum(tensor.numel() for tensor in self.tensors.values())

    def fit(self: Fitted, pairs: PairsLike) -> Fitted:
        """Learn the posterior mean from defended public pairs; a second call starts anew."""
        if self._clean is None:
            raise BadInput("Denoised: was loaded from a file, which holds no clean pairs; make a new one to fit it")
        if len(pairs) < 10 or list(pairs.images.ids) != list(self._clean.images.ids):
            raise BadInput(
                f"pairs: expected the {len(self._clean)} images of the clean pairs, at least 10, in their order, got "
                f"{len(pairs)} others; extract both from the same images"
            )
        order = np.random.default_rng(29).permutation(len(pairs))
        held = order[: min(HELD_OUT, len(pairs) // 5)]
        kept = order[len(held) :]
        trials = {"linear": self._linear(pairs, kept)}
        if tuple(pairs.feature_shape) == tuple(self._clean.feature_shape):
            trials["empirical"] = self._empirical(pairs, kept)
        errors = {method: self._error(pairs, held, tensors) for method, tensors in trials.items()}
        self.chosen = min(errors, key=lambda method: errors[method])
        self.tensors = self._linear(pairs, order) if self.chosen == "linear" else self._empirical(pairs, order)
        self.feature_shape, self.image_size = tuple(pairs.feature_shape), int(pairs.image_size)
        self.victim = dict(pairs.metadata)
        return self

    def denoise(self, features: Features) -> Features:
        """Return the expected clean vectors (B, *G) of defended ones. Raises BadInput before `fit`."""
        if not self.tensors:
            raise BadInput("Denoised: expected a fitted attack, got one before fit(pairs); fit it first")
        rows = check_features(features, self.feature_shape).flatten(1)
        shape = tuple(self.attack.feature_shape)  # type: ignore[attr-defined]
        return _posterior_mean(rows, self.tensors).reshape(len(rows), *shape).to(features.device)

    @torch.no_grad()
    def reconstruct(self, features: Features) -> Images:
        """Reconstruct the images (B, 3, S, S) of defended vectors. Raises BadInput before `fit`."""
        images: Images = self.attack.reconstruct(self.denoise(features))
        return images

    def state(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """Return a JSON-able configuration and the tensors, those of the attack within under `attack.`."""
        if not self.tensors:
            raise BadInput("Denoised: expected a fitted attack to save, got one before fit(pairs)")
        inner_config, inner_tensors = self.attack.state()  # type: ignore[attr-defined]
        config = {
            "attack": {"class": configuration.public_path(type(self.attack)), "config": inner_config},
            "chosen": self.chosen,
            "feature_shape": list(self.feature_shape),
            "image_size": self.image_size,
            "victim": self.victim,
        }
        return config, self.tensors | {f"attack.{name}": tensor for name, tensor in inner_tensors.items()}

    @classmethod
    def from_state(cls: type[Fitted], config: dict[str, Any], tensors: dict[str, Tensor], allow: Any = ()) -> Fitted:
        """Rebuild it with the attack within, to reconstruct but not to be fitted again."""
        inner = {name.removeprefix("attack."): t for name, t in tensors.items() if name.startswith("attack.")}
        kind: Any = configuration.trusted_class(str(config["attack"]["class"]), allow)
        attack = cls(kind.from_state(config["attack"]["config"], inner, allow), None)
        attack.feature_shape = tuple(int(size) for size in config["feature_shape"])
        attack.image_size, attack.victim = int(config["image_size"]), dict(config["victim"])
        attack.chosen = str(config["chosen"])
        attack.tensors = {name: tensor for name, tensor in tensors.items() if not name.startswith("attack.")}
        clean = torch.Size(attack.attack.feature_shape).numel()  # type: ignore[attr-defined]
        check_tensors(attack.tensors, _layout(attack.chosen, torch.Size(attack.feature_shape).numel(), clean))
        return attack

    def _blocks(
        self, pairs: PairsLike, rows: np.ndarray
    ) -> Iterator[tuple[Float[Tensor, "B D"], Float[Tensor, "B E"]]]:
        step = rows_that_fit(int(np.prod(pairs.feature_shape)) + int(np.prod(self._clean.feature_shape)))
        for start in range(0, len(rows), step):
            block = rows[start : start + step]
            sides = (np.asarray(side.features(block)).reshape(len(block), -1) for side in (pairs, self._clean))
            defended, clean = (torch.from_numpy(np.array(side, dtype=np.float32)) for side in sides)
            yield defended, clean

    def _linear(self, pairs: PairsLike, rows: np.ndarray) -> dict[str, Tensor]:
        widths = [int(np.prod(side.feature_shape)) for side in (pairs, self._clean)]
        equations = NormalEquations(*widths)
        for defended, clean in self._blocks(pairs, rows):
            equations.add(defended, clean)
        centred = equations.gram.trace() - equations.input_sum.square().sum() / equations.count
        weight, bias = equations.solve(PENALTY * float(centred) / widths[0] + 1e-9)
        return {"weight": weight, "bias": bias}

    def _empirical(self, pairs: PairsLike, rows: np.ndarray) -> dict[str, Tensor]:
        squares, bank, kept = torch.zeros(int(np.prod(pairs.feature_shape)), dtype=torch.float64), [], 0
        for defended, clean in self._blocks(pairs, rows):
            squares += (defended.double() - clean.double()).square().sum(0)
            bank.append(clean[: max(0, BANK_ROWS - kept)])
            kept += len(bank[-1])
        variance = squares / len(rows)
        return {"bank": torch.cat(bank), "deviation": variance.clamp_min(1e-12).sqrt().float()}

    def _error(self, pairs: PairsLike, rows: np.ndarray, tensors: dict[str, Tensor]) -> float:
        error = 0.0
        for defended, clean in self._blocks(pairs, rows):
            error += float((_posterior_mean(defended, tensors).double() - clean.double()).square().sum())
        return error


def _posterior_mean(rows: Float[Tensor, "B D"], tensors: dict[str, Tensor]) -> Float[Tensor, "B E"]:
    if "weight" in tensors:
        return torch.addmm(tensors["bias"], rows, tensors["weight"])
    scale, bank = tensors["deviation"].double(), tensors["bank"]
    scaled, means = bank.double() / scale, torch.empty(len(rows), bank.shape[1])
    step = rows_that_fit(2 * len(bank))
    for start in range(0, len(rows), step):
        # float64: |y - x|^2 is a difference of large numbers where the noise is small.
        block = rows[start : start + step].double() / scale
        weights = (block @ scaled.T - 0.5 * scaled.square().sum(1)).softmax(dim=1)
        means[start : start + step] = weights.float() @ bank
    return means


def _layout(method: str, defended: int, clean: int) -> Layout:
    if method not in METHODS:
        raise BadInput(f"chosen: expected {' or '.join(METHODS)}, got {method!r}")
    if method == "linear":
        return {"weight": (torch.float32, (defended, clean)), "bias": (torch.float32, (clean,))}
    return {"bank": (torch.float32, ("pairs", clean)), "deviation": (torch.float32, (defended,))}
