"""Another attack's images, changed at a coarse resolution until surrogates see what the vector says."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple, final

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from featinv import configuration
from featinv.attacks.checks import check_features, check_positive, check_tensors
from featinv.attacks.expected_features import (
    SHIFT,
    Expected,
    check_steps,
    check_surrogates,
    common_view,
    expected_from_state,
    expected_state,
    learn_expected,
    rows_to_learn_from,
    under,
)
from featinv.blocks import standardising_scale
from featinv.encoders import Encoder
from featinv.errors import BadInput
from featinv.plain_numbers import check_seed
from featinv.types import Attack, Features, Images, PairsLike

BLOCK = 50
"""images that are changed together; a smaller last block is filled up, so that no result depends on the batch"""


class Settings(NamedTuple):
    """What `Retouched` was built with."""

    finest: int | None
    steps: int
    lr: float
    tau: float
    penalty: float
    drawn: int | None
    seed: int
    shift: float
    share: float = 1.0


@final
class Retouched:
    """features (B, *F) -> images (B, 3, S, S): what `attack` makes, plus a change u that surrogates ask for.

    u has `finest` pixels a side (None: half of S) and is stretched bilinearly, so that no texture can be drawn that
    only a network sees; it starts at 0. Adam, its rate falling to 0 by a cosine, makes small the mean over the
    surrogates of -log softmax of the cosine between the features of a random view of the image and those that ridge
    regression predicts from the vector, among those of the public images, at the temperature `tau`, plus `penalty` *
    mean(u^2). All images see the same views in the same order, moved by up to `shift` (a share of the side: less for
    an encoder that knows aligned images only, as those of faces do). With `drawn` each step looks through that many of
    the surrogates, drawn by `seed`. There is no decoder to train: over `RecolouredNeighbour`, the natural start, a
    public image keeps its detail and gets what else the vector says.

    Look through surrogates (`robust_copy`, `train_bank`), not through the victim alone, which asks for texture; an
    encoder of faces was the exception (docs/results/faces.md). Each call takes `steps` passes forth and back through
    each surrogate looked through. `fit` fits the attack on the same pairs. A saved one holds its surrogates, which
    therefore are made of `featinv.encoders.networks`.

    `share` is how much of the change is kept in the end: on photographs the whole change pleases the surrogates, half
    of it an independent judge (docs/results/photographs.md).

    Raises BadInput for no surrogate, for one of a judge's family, and for settings out of range. Sources: optimising
    pixels through a robust network from another image arXiv:1906.00945; the contrastive term arXiv:1807.03748. Ours:
    the start, the coarse change, prediction in place of the unknown features.
    """

    kind = "attack"

    def __init__(
        self,
        attack: Attack,
        surrogates: Sequence[Encoder],
        *,
        finest: int | None = None,
        steps: int = 60,
        lr: int | float = 0.02,
        tau: int | float = 0.1,
        penalty: int | float = 0,
        drawn: int | None = None,
        seed: int = 0,
        shift: int | float = SHIFT,
        share: int | float = 1,
    ) -> None:
        check_surrogates("Retouched", surrogates, None)
        check_steps(steps, lr, penalty)
        check_positive("tau", tau)
        if finest is not None and (isinstance(finest, bool) or not isinstance(finest, int) or finest < 1):
            raise BadInput(f"finest: expected a whole number of pixels, or None for half the side, got {finest!r}")
        if drawn is not None and (isinstance(drawn, bool) or not 1 <= drawn <= len(surrogates)):
            raise BadInput(
                f"drawn: expected 1 to the {len(surrogates)} surrogates, or None for all in each step, got {drawn!r}"
            )
        if isinstance(shift, bool) or not 0 <= shift < 1:
            raise BadInput(f"shift: expected a share of the side of at least 0 and below 1, got {shift!r}")
        if isinstance(share, bool) or not 0 < share <= 1:
            raise BadInput(f"share: expected the share of the change that is kept, above 0 and up to 1, got {share!r}")
        self.attack, self.surrogates = attack, tuple(surrogates)
        seed = check_seed("seed", seed)
        self.settings = Settings(
            finest, steps, float(lr), float(tau), float(penalty), drawn, seed, float(shift), float(share)
        )
        self.feature_shape: tuple[int, ...] = ()
        self.image_size: int = 0
        self.victim: dict[str, Any] = {}
        self.tensors: dict[str, Tensor] = {}
        self._expected: tuple[Expected, ...] = ()

    def __repr__(self) -> str:
        names = ", ".join(surrogate.name for surrogate in self.surrogates)
        settings = ", ".join(f"{name}={value!r}" for name, value in self.settings._asdict().items())
        return f"Retouched({self.attack!r}, [{names}], {settings})"

    @property
    def parameters(self) -> int:
        """Those of the attack, and the numbers of the predictions."""
        own = sum(tensor.numel() for tensor in self.tensors.values()) + sum(each.numbers for each in self._expected)
        return self.attack.parameters + own

    @property
    def excluded_judges(self) -> frozenset[str]:
        """Fingerprints of what the attack was trained to please, and of the surrogates."""
        own = frozenset(surrogate.weights_fingerprint for surrogate in self.surrogates)
        return own | getattr(self.attack, "excluded_judges", frozenset())

    def fit(self, pairs: PairsLike) -> "Retouched":
        """Fit the attack, and learn from public pairs what each surrogate should see of a vector's original."""
        self.attack.fit(pairs)
        rows = rows_to_learn_from(pairs, self.settings.seed)
        vectors = torch.from_numpy(pairs.features(rows)).reshape(len(rows), -1)
        mean = vectors.mean(0)
        self.tensors = {"mean": mean, "scale": standardising_scale(mean, vectors.std(0, correction=0))}
        self._expected = learn_expected(self.surrogates, pairs, self._standardised(vectors), rows)
        self.feature_shape, self.image_size = tuple(pairs.feature_shape), int(pairs.image_size)
        self.victim = dict(pairs.metadata)
        return self

    def reconstruct(self, features: Features) -> Images:
        """Change the attack's image of each vector, in blocks of 50. Raises BadInput before `fit`."""
        if not self._expected:
            raise BadInput("Retouched: expected a fitted attack, got one before fit(pairs); fit it first")
        vectors = check_features(features, self.feature_shape)
        images: Images = self.attack.reconstruct(vectors)
        for start in range(0, len(vectors), BLOCK):
            part, drawn = vectors[start : start + BLOCK], images[start : start + BLOCK]
            count, missing = len(part), BLOCK - len(part)
            filled = torch.cat([part, part[-1:].expand(missing, *part.shape[1:])])
            begun = torch.cat([drawn, drawn[-1:].expand(missing, *drawn.shape[1:])])
            images[start : start + count] = self._changed(begun, self._standardised(filled.flatten(1)))[:count]
        return images.to(features.device)

    def state(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """Return a JSON-able configuration and the tensors, of the attack and of each surrogate by its number."""
        if not self._expected:
            raise BadInput("Retouched: expected a fitted attack to save, got one before fit(pairs)")
        inner, weights = self.attack.state()  # type: ignore[attr-defined]
        surrogates, tensors = expected_state(self._expected)
        tensors |= {f"attack.{name}": tensor for name, tensor in weights.items()}
        config = {
            "attack": {"class": configuration.public_path(type(self.attack)), "config": inner},
            "surrogates": surrogates,
            "settings": self.settings._asdict(),
            "feature_shape": list(self.feature_shape),
            "image_size": self.image_size,
            "victim": self.victim,
        }
        return config, tensors | self.tensors

    @classmethod
    def from_state(cls, config: dict[str, Any], tensors: dict[str, Tensor], allow: Any = ()) -> "Retouched":
        """Rebuild it with its surrogates, to reconstruct."""
        kind: Any = configuration.trusted_class(str(config["attack"]["class"]), allow)
        inner = kind.from_state(config["attack"]["config"], under("attack.", tensors), allow)
        shape = tuple(int(size) for size in config["feature_shape"])
        expected = expected_from_state(config["surrogates"], tensors, math.prod(shape))
        attack = cls(inner, [member.surrogate for member in expected], **config["settings"])
        attack.feature_shape, attack.image_size = shape, int(config["image_size"])
        attack.victim, attack._expected = dict(config["victim"]), tuple(expected)
        attack.tensors = {name: tensors[name] for name in ("mean", "scale")}
        check_tensors(attack.tensors, dict.fromkeys(attack.tensors, (torch.float32, (math.prod(shape),))))
        return attack

    def _standardised(self, vectors: Tensor) -> Tensor:
        return (vectors - self.tensors["mean"]) / self.tensors["scale"]

    def _changed(self, images: Tensor, vectors: Tensor) -> Tensor:
        settings, size = self.settings, self.image_size
        side = min(size, settings.finest or max(1, size // 2))
        change = torch.zeros(len(images), 3, side, side, requires_grad=True)
        optimiser = torch.optim.Adam([change], lr=settings.lr, betas=(0.9, 0.99))
        dice = torch.Generator().manual_seed(settings.seed)

        def changed() -> Tensor:
            return (images + F.interpolate(change, size=size, mode="bilinear", align_corners=False)).clamp(0, 1)

        for step in range(settings.steps):
            optimiser.param_groups[0]["lr"] = settings.lr * 0.5 * (1 + np.cos(np.pi * step / settings.steps))
            with torch.enable_grad():
                view = common_view(changed(), dice, settings.shift)
                order = torch.randperm(len(self._expected), generator=dice).tolist()
                chosen = [self._expected[number] for number in sorted(order[: settings.drawn])]
                surprise = torch.stack([each.surprise(view, vectors, settings.tau) for each in chosen]).mean(0)
                optimiser.zero_grad()
                # A sum, so that no image's gradient depends on how many there are.
                (surprise + settings.penalty * change.square().mean((1, 2, 3))).sum().backward()
            optimiser.step()
        with torch.no_grad():
            return torch.lerp(images, changed(), settings.share)
