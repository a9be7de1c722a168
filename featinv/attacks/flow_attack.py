"""The conditional flow as an attack: it draws images from p(image | vector)."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Literal, final

import numpy as np
import torch
from torch import Tensor, nn

from featinv import configuration, processes
from featinv.attacks.checks import check_features
from featinv.attacks.decoder_parts import check_weights
from featinv.attacks.flow_sampling import draw
from featinv.attacks.passes import feature_moments
from featinv.attacks.ridge import Ridge
from featinv.attacks.sampling import Samples, check_sampling, medoid, row_generator
from featinv.block_sizes import rows_at_once
from featinv.decoders.flow_network import FlowNetwork
from featinv.errors import BadInput
from featinv.training import Checkpoints, FitOptions, Training, fit_steps
from featinv.training.flow_step import TIME_MEAN, UNIFORM_SHARE, FlowStep
from featinv.types import Features, Images, PairsLike

IMAGES_AT_ONCE = 256
MEASURED = 2000
"""public pairs on which the deviation of the regression's residual is measured"""


@final
class FlowAttack:
    """features (B, *F) -> samples of p(image | vector), by a flow from noise that is trained on public pairs.

    Ridge regression predicts the image from the vector; a U-Net of `widths` channels a level, with `blocks` residual
    blocks each on cells of `patch` pixels a side, learns what is left (`FlowNetwork`). `sample` draws by Heun's method
    in `steps` steps, without guidance. `reconstruct` draws `draws` samples and returns their medoid in the colours of
    8 x 8 cells or in `space` (a surrogate: images -> features), a real sample, or with `centre="mean"` their mean,
    which has the higher PSNR and no texture. A surrogate may not be a judge, and is not saved with the attack. The
    pairs' vectors are as released: with the defence's noise where there is one, so that samples are of
    p(image | release).

    A regression that overfits its pairs makes samples too alike: give far more pairs than features. Raises BadInput
    for sizes that do not divide, and for a training that keeps the best weights by PSNR, which are not the best flow.
    """

    kind = "attack"
    guidance = 1
    """samples are drawn of the posterior itself, as a calibration demands"""

    def __init__(
        self,
        widths: Sequence[int] = (48, 96),
        *,
        blocks: int = 2,
        patch: int = 1,
        dropout: float = 0.1,
        training: Training | None = None,
        steps: int = 12,
        draws: int = 16,
        centre: Literal["medoid", "mean"] = "medoid",
        space: Callable[[Tensor], Tensor] | None = None,
        seed: int = 0,
    ) -> None:
        self.widths = tuple(int(width) for width in widths)
        self.blocks, self.patch, self.dropout = blocks, patch, dropout
        self.training = Training() if training is None else training
        self.steps, self.draws, self.centre, self.seed = steps, draws, centre, seed
        self.space = space
        self._check()
        self.feature_shape: tuple[int, ...] = ()
        self.image_size = 0
        self.network: nn.Module | None = None
        self.victim: dict[str, Any] = {}
        self.history: list[dict[str, float]] = []
        self.seconds = 0.0
        self.precision: str | None = None

    def __repr__(self) -> str:
        return f"FlowAttack({self.widths}, blocks={self.blocks}, patch={self.patch}, steps={self.steps})"

    @property
    def parameters(self) -> int:
        """How many numbers training determines; 0 before `fit`."""
        return 0 if self.network is None else sum(parameter.numel() for parameter in self.network.parameters())

    def fit(
        self,
        pairs: PairsLike,
        *,
        checkpoints: Checkpoints | None = None,
        progress: bool = True,
        resume: bool = True,
        listener: Callable[[dict[str, float]], object] | None = None,
    ) -> "FlowAttack":
        """Fit the regression and train the flow on public pairs; under `accelerate launch` call it in every process.

        With `checkpoints` a killed training goes on where it was, to the same weights; another schedule, size or pairs
        are refused. Leaves `network`, `history`, `seconds` and `precision`. Raises BadInput for images that the network
        cannot divide, before any training, and Diverged when the loss is not finite.
        """
        settings = replace(self.training, keep="last")
        self._check_divides(int(pairs.image_size))
        with processes.seeded(settings.seed):
            network = self._fresh(pairs)
        identity = {"flow": self._arguments(), "times": [TIME_MEAN, UNIFORM_SHARE]}
        fitted = fit_steps(
            lambda accelerator: FlowStep(network, settings, accelerator),
            pairs,
            settings,
            FitOptions(checkpoints, progress, resume, listener),
            identity=identity,
        )
        # A new network around the weights: the trained one may be compiled, or patched for mixed precision.
        self.feature_shape, self.image_size = tuple(pairs.feature_shape), int(pairs.image_size)
        self._load(fitted.weights)
        self.victim = dict(pairs.metadata)
        self.history, self.seconds, self.precision = fitted.history, fitted.seconds, fitted.precision
        return self

    def sample(self, features: Features, k: int, seed: int, *, first_row: int = 0) -> Samples:
        """Draw k images of each vector, (B, k, 3, S, S) in [0, 1], on the device of the vectors.

        A function of the vector, the seed and its row's number from `first_row`. Raises BadInput as `reconstruct` does,
        for more samples than memory holds, and naming the step where a sample is not finite.
        """
        self._fitted()
        check_features(features, self.feature_shape)
        check_sampling(len(features), k, seed, self.image_size)
        return self._draw(features, k, [row_generator(seed, first_row + row) for row in range(len(features))])

    def reconstruct(self, features: Features) -> Images:
        """Return the medoid or the mean (B, 3, S, S) of samples that all start from the same noise.

        Raises BadInput before `fit`, for vectors of another shape or with NaN (naming the row), and for a sample that
        is not finite.
        """
        self._fitted()
        vectors = check_features(features, self.feature_shape)
        images = torch.empty(len(vectors), 3, self.image_size, self.image_size, device=features.device)
        for start in range(0, len(vectors), IMAGES_AT_ONCE):
            part = features[start : start + IMAGES_AT_ONCE]
            samples = self._draw(part, self.draws, [row_generator(self.seed, 0) for _ in part])
            images[start : start + len(part)] = samples.mean(1) if self.centre == "mean" else self._medoid(samples)
        return images

    def _medoid(self, samples: Samples) -> Images:
        return medoid(samples) if self.space is None else medoid(samples, self.space)

    def state(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """Return what `from_state` needs: a JSON-able configuration and the weights.

        Raises BadInput before `fit`, and with a `space`, without which a loaded attack would choose other samples.
        """
        tensors = self._fitted().state_dict()
        if self.space is not None:
            raise BadInput(
                "FlowAttack: expected an attack without a space to save, got one; set attack.space = None, save, and "
                "set it again after loading"
            )
        config = {
            "args": self._arguments(),
            "training": configuration.describe(self.training)["args"],
            "feature_shape": list(self.feature_shape),
            "image_size": self.image_size,
            "victim": self.victim,
            "history": self.history,
            "seconds": self.seconds,
            "precision": self.precision,
        }
        return config, {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}

    @classmethod
    def from_state(cls, config: dict[str, Any], tensors: dict[str, Tensor], allow: Any = ()) -> "FlowAttack":
        """Rebuild a fitted attack; raises BadInput when the weights are not those of its network."""
        settings = {**config["training"], "betas": tuple(config["training"]["betas"])}  # JSON knows lists only
        attack = cls(**config["args"], training=Training(**settings))
        attack.feature_shape = tuple(int(size) for size in config["feature_shape"])
        attack.image_size = int(config["image_size"])
        attack._check_divides(attack.image_size)
        with torch.device("meta"):  # a stranger's file may ask for terabytes: compare shapes before allocating
            check_weights(attack._network(attack.feature_shape, attack.image_size), tensors)
        attack._load(tensors)
        attack.victim, attack.history = dict(config["victim"]), list(config["history"])
        attack.seconds, attack.precision = float(config["seconds"]), config["precision"]
        return attack

    def _arguments(self) -> dict[str, Any]:
        names = ("blocks", "patch", "dropout", "steps", "draws", "centre", "seed")
        return {"widths": list(self.widths), **{name: getattr(self, name) for name in names}}

    def _network(self, feature_shape: tuple[int, ...], image_size: int) -> FlowNetwork:
        return FlowNetwork(
            feature_shape,
            image_size,
            widths=self.widths,
            blocks=self.blocks,
            patch=self.patch,
            dropout=self.dropout,
        )

    def _fresh(self, pairs: PairsLike) -> FlowNetwork:
        """Return the network with its first weights, the public statistics and the regression in it."""
        network = self._network(tuple(pairs.feature_shape), int(pairs.image_size))
        moments = feature_moments(pairs)
        shape = tuple(pairs.feature_shape)
        network.standardise.set_statistics(moments.mean.reshape(shape), moments.scale.reshape(shape))
        ridge = Ridge().fit(pairs)
        rows = np.sort(np.random.default_rng(0).permutation(len(pairs))[:MEASURED])
        features, images = pairs.batch(rows)
        residual = float((ridge.reconstruct(features) - images).square().mean().sqrt())
        network.set_prediction(ridge.tensors["weight"], ridge.tensors["bias"], max(residual, 1e-3))
        return network

    def _load(self, weights: dict[str, Tensor]) -> None:
        self.network = self._network(self.feature_shape, self.image_size)
        self.network.load_state_dict(weights)
        self.network.to(processes.device()).requires_grad_(False).eval()

    def _fitted(self) -> nn.Module:
        if self.network is None:
            raise BadInput("FlowAttack: expected a fitted attack, got one before fit(pairs); fit it first")
        return self.network

    @torch.no_grad()
    def _draw(self, features: Features, k: int, generators: list[torch.Generator]) -> Samples:
        network = self._fitted()
        device = next(network.parameters()).device
        shape = (3, self.image_size, self.image_size)
        samples = torch.empty(len(features), k, *shape)
        rows = features.float().to(device).repeat_interleave(k, dim=0)
        drawn = samples.view(-1, *shape)
        step = rows_at_once(network, rows, most=IMAGES_AT_ONCE)
        noise = (torch.randn(k, *shape, generator=generator) for generator in generators)
        for row, start in enumerate(noise):
            drawn[row * k : (row + 1) * k] = start
        for first in range(0, len(rows), step):
            block = slice(first, first + step)
            drawn[block] = draw(network, rows[block], drawn[block].to(device), self.steps).cpu()
        return samples.add_(1).div_(2).clamp_(0, 1).to(features.device)

    def _check(self) -> None:
        if self.training.keep == "best":
            raise BadInput(
                "training.keep: expected 'last' or null for a flow, got 'best'; the weights with the best PSNR of a "
                "mean are not those that draw best"
            )
        for name in ("blocks", "patch", "steps", "draws"):
            if getattr(self, name) < 1:
                raise BadInput(f"FlowAttack: expected {name} of at least 1, got {getattr(self, name)}")
        if not self.widths or min(self.widths) < 1:
            raise BadInput(f"FlowAttack: expected widths of at least 1 channel a level, got {self.widths}")
        if not 0 <= self.dropout < 1:
            raise BadInput(f"FlowAttack: expected a dropout in [0, 1), got {self.dropout}")
        if self.centre not in ("medoid", "mean"):
            raise BadInput(f"FlowAttack: expected the centre to be medoid or mean, got {self.centre!r}")

    def _check_divides(self, image_size: int) -> None:
        unit = self.patch * 2 ** (len(self.widths) - 1)
        if image_size % unit or image_size < 2 * unit:
            raise BadInput(
                f"FlowAttack: expected images whose side is a multiple of {unit} and at least {2 * unit} px, as "
                f"{len(self.widths)} levels on cells of {self.patch} px need, got {image_size}; use fewer widths"
            )
