"""The trained decoder as an attack: the paper's idea, and every stronger decoder."""

import copy
from collections.abc import Callable
from typing import Any, final

import numpy as np
import torch
from torch import Tensor, nn

from featinv import configuration, processes
from featinv.attacks.checks import check_features
from featinv.attacks.decoder_parts import ReprOnly, as_shape, assemble, check_pairs, check_parts, check_weights
from featinv.attacks.passes import Moments, feature_moments
from featinv.block_sizes import rows_at_once
from featinv.blocks import Standardise
from featinv.errors import BadInput
from featinv.losses import Loss
from featinv.training import Adversary, Checkpoints, FitOptions, Snapshots, Training, fit_decoder
from featinv.types import Features, Images, PairsLike

IMAGES_AT_ONCE = 256
PAIRS_TO_MEASURE = 20_000
"""public pairs whose mean and deviation are taken for those of all: right to a hundredth of a deviation"""


@final
class DecoderAttack:
    """features (B, *F) -> images (B, 3, S, S): a decoder trained on public pairs to make an objective small.

    `decoder` maps vectors to images in [0, 1] and has `feature_shape` and `image_size`; `objective` is a loss or a
    sum of losses; `adversary` adds a discriminator that the decoder has to please too (and then the last weights are
    kept, never the best by PSNR). Fitting trains copies, so that decoder and discriminator keep their first weights and
    a second fit starts anew. Raises BadInput before any training for a decoder that could not be saved afterwards, and
    for an adversary that does not fit it.
    """

    kind = "attack"

    def __init__(
        self,
        decoder: nn.Module,
        objective: nn.Module,
        training: Training | None = None,
        *,
        adversary: Adversary | ReprOnly | None = None,
    ) -> None:
        self.decoder = decoder
        self.objective = objective
        self.adversary = adversary
        self.training = Training() if training is None else training
        check_parts(decoder, objective)
        self._description = configuration.describe(decoder)
        self.feature_shape = as_shape(decoder.feature_shape)
        self.image_size = int(decoder.image_size)  # type: ignore[arg-type]
        self._check_adversary()
        excluded: list[frozenset[str]] = [getattr(part, "fingerprints", frozenset()) for part in (objective, adversary)]
        self.excluded_judges = excluded[0] | excluded[1]
        self.network: nn.Module | None = None
        self.victim: dict[str, Any] = {}
        self.history: list[dict[str, float]] = []
        self.notices: list[str] = []
        self.seconds = 0.0
        self.precision: str | None = None

    def __repr__(self) -> str:
        parts = [type(self.decoder).__name__, repr(self.objective), self.training.optimiser]
        return f"DecoderAttack({', '.join(parts if self.adversary is None else [*parts, repr(self.adversary)])})"

    @property
    def parameters(self) -> int:
        """How many numbers training determines."""
        return sum(parameter.numel() for parameter in self.decoder.parameters() if parameter.requires_grad)

    def fit(
        self,
        pairs: PairsLike,
        *,
        checkpoints: Checkpoints | None = None,
        progress: bool = True,
        resume: bool = True,
        listener: Callable[[dict[str, float]], object] | None = None,
        snapshots: Snapshots | None = None,
    ) -> "DecoderAttack":
        """Train a copy of the decoder on public pairs; under `accelerate launch` call it in every process.

        With `checkpoints` a killed training goes on where it was, to the same weights. `listener` gets each row of
        `history` as it comes, and `snapshots` are taken on the way. Leaves `network` (standardising layer and decoder),
        `history` (rows of loss and validation), `notices` (what went wrong with an adversary, in words), `seconds` and
        `precision` ("no" is float32).
        Raises BadInput for pairs that do not fit the decoder, before any training, and Diverged
        when the loss is not finite.
        """
        objective = self._check(pairs)
        with processes.seeded(self.training.seed):
            network, adversary = self._fresh(pairs)
        fitted = fit_decoder(
            network,
            objective,
            pairs,
            self.training,
            FitOptions(checkpoints, progress, resume, listener, self._of_weights(snapshots, pairs)),
            adversary=adversary,
            identity={"decoder": self._description},
        )
        self._keep(fitted.weights, pairs)
        self.history, self.notices, self.seconds = fitted.history, fitted.notices, fitted.seconds
        self.precision = fitted.precision
        return self

    @torch.no_grad()
    def reconstruct(self, features: Features) -> Images:
        """Reconstruct the images (B, 3, S, S) in [0, 1] of the vectors (B, *F), on the device of the vectors.

        In float32 and eval mode, in fixed blocks. Raises BadInput before `fit`, and for vectors of another shape or
        with NaN or infinity (naming the row).
        """
        network = self._fitted("reconstruct with")
        vectors = check_features(features, self.feature_shape)
        images = torch.empty(len(vectors), 3, self.image_size, self.image_size, device=features.device)
        device = next(network.parameters()).device
        step = rows_at_once(network, vectors.to(device), most=IMAGES_AT_ONCE)
        for start in range(0, len(vectors), step):
            part = vectors[start : start + step]
            images[start : start + len(part)] = network(part.to(device)).clamp(0, 1)
        return images

    def state(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """Return what `from_state` needs: a JSON-able configuration and the weights. Raises BadInput before `fit`."""
        tensors = self._fitted("save").state_dict()
        config = {
            "decoder": self._description,
            "feature_shape": list(self.feature_shape),
            "image_size": self.image_size,
            "objective": repr(self.objective),
            "adversary": None if self.adversary is None else repr(self.adversary),
            "excluded_judges": sorted(self.excluded_judges),
            "training": configuration.describe(self.training)["args"],
            "victim": self.victim,
            "history": self.history,
            "notices": self.notices,
            "seconds": self.seconds,
            "precision": self.precision,
        }
        return config, {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}

    @classmethod
    def from_state(cls, config: dict[str, Any], tensors: dict[str, Tensor], allow: Any = ()) -> "DecoderAttack":
        """Rebuild a fitted attack; it reconstructs, but knows objective and adversary by words only: not to be fitted.

        A decoder that is not one of featinv's is built only when `allow` names it. Raises BadInput when the weights are
        not those of the decoder.
        """
        if not allow:
            # A stranger's file may ask for terabytes: compare shapes before anything is allocated.
            with torch.device("meta"):
                sketch = configuration.rebuild(config["decoder"])
            check_weights(
                sketch, {n.removeprefix("decoder."): t for n, t in tensors.items() if n.startswith("decoder.")}
            )
        decoder = configuration.rebuild(config["decoder"], allow)
        for name in ("feature_shape", "image_size"):
            # A decoder of somebody else's may have got them from the recipe that built it.
            if not hasattr(decoder, name):
                setattr(decoder, name, config[name])
        settings = {**config["training"], "betas": tuple(config["training"]["betas"])}  # JSON knows lists only
        words = config.get("adversary")  # attacks saved before there were adversaries do not say
        adversary = None if words is None else ReprOnly(str(words))
        attack = cls(decoder, ReprOnly(str(config["objective"])), Training(**settings), adversary=adversary)
        attack.excluded_judges = frozenset(str(fingerprint) for fingerprint in config.get("excluded_judges", ()))
        attack.notices = [str(notice) for notice in config.get("notices", ())]
        network = assemble(decoder, Standardise(attack.feature_shape) if attack.training.standardise else None)
        check_weights(network, tensors)
        network.load_state_dict(tensors)
        attack.network = network.requires_grad_(False).eval()
        attack.victim, attack.history = dict(config["victim"]), list(config["history"])
        attack.seconds = float(config["seconds"])
        attack.precision = config.get("precision")  # attacks saved before it was recorded do not say
        return attack

    def _check_adversary(self) -> None:
        self.training.kept(adversarial=self.adversary is not None)
        if isinstance(self.adversary, Adversary):
            self.adversary.check(self.image_size, self.feature_shape)
        elif not isinstance(self.adversary, ReprOnly | None):
            raise BadInput(
                f"adversary: expected a featinv.Adversary or None, got {type(self.adversary).__name__}; "
                "write Adversary(discriminator, loss)"
            )

    def _check(self, pairs: PairsLike) -> Loss:
        if not isinstance(self.objective, Loss):
            raise BadInput(
                "DecoderAttack: was loaded from a file, which holds no objective to train with; make a new attack"
            )
        check_pairs(pairs, self.decoder, self.feature_shape, self.image_size)
        return self.objective

    def _fresh(self, pairs: PairsLike) -> tuple[nn.Module, Adversary | None]:
        """Return copies of decoder and adversary with their first weights, and the public statistics in them."""
        adversary = copy.deepcopy(self.adversary) if isinstance(self.adversary, Adversary) else None
        conditional = adversary is not None and adversary.discriminator.conditional
        if len(pairs) == 0 or not (self.training.standardise or conditional):
            return assemble(self.decoder, None), adversary
        moments = self._moments(pairs)
        mean, scale = moments.mean.reshape(self.feature_shape), moments.scale.reshape(self.feature_shape)
        if adversary is not None:
            adversary.discriminator.set_statistics(mean, scale)
        standardise = Standardise(self.feature_shape) if self.training.standardise else None
        if standardise is not None:
            standardise.set_statistics(mean, scale)
        return assemble(self.decoder, standardise), adversary

    def _moments(self, pairs: PairsLike) -> Moments:
        if len(pairs) > PAIRS_TO_MEASURE:  # live pairs encode every image that they are asked for
            chosen = np.random.default_rng(self.training.seed).choice(len(pairs), PAIRS_TO_MEASURE, replace=False)
            pairs = pairs.take(np.sort(chosen))
        return feature_moments(pairs)

    def _keep(self, weights: dict[str, Tensor], pairs: PairsLike) -> None:
        # A new network around the weights: the trained one may be compiled, or patched for mixed precision.
        self.network = assemble(self.decoder, Standardise(self.feature_shape) if self.training.standardise else None)
        self.network.load_state_dict(weights)
        self.network.to(processes.device()).requires_grad_(False).eval()
        self.victim = dict(pairs.metadata)

    def _of_weights(self, snapshots: Snapshots | None, pairs: PairsLike) -> Snapshots | None:
        """Return snapshots that are given weights, and hand on a fitted copy of this attack with them."""
        if snapshots is None:
            return None

        def take(weights: dict[str, Tensor], images: int) -> None:
            fitted = copy.copy(self)
            fitted._keep(weights, pairs)
            snapshots.take(fitted, images)

        return Snapshots(snapshots.at, take)

    def _fitted(self, purpose: str) -> nn.Module:
        if self.network is None:
            raise BadInput(
                f"DecoderAttack: expected a fitted attack to {purpose}, got one before fit(pairs); fit it first"
            )
        return self.network
