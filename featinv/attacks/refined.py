"""Refinement at test time: the decoder's input is changed until surrogates see what the vector says they should."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple, final

import torch
from torch import Tensor

from featinv.attacks.checks import check_features
from featinv.attacks.decoder_attack import DecoderAttack
from featinv.attacks.expected_features import (
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
from featinv.encoders import Encoder
from featinv.errors import BadInput
from featinv.plain_numbers import check_seed
from featinv.types import Features, Images, PairsLike

BLOCK = 32
"""images that are refined together; a smaller last block is filled up, so that no result depends on the batch"""
LOOK_EVERY = 5
"""steps between two looks of the surrogate that was held out"""


class Settings(NamedTuple):
    """What `Refined` was built with."""

    steps: int
    lr: float
    penalty: float
    seed: int


@final
class Refined:
    """features (B, *F) -> what a decoder makes of f + u, u chosen for each image by looking through surrogates.

    u starts at 0. Adam changes it so that the surrogates' features of the reconstruction, in a random view, come near
    those that the vector predicts (ridge regression on public pairs, whitened by its residuals), plus
    `penalty` * mean(u^2). Every 5 steps a surrogate that was held out looks at the unchanged reconstruction; the image
    kept is the one that it finds nearest, the start included. All images see the same views in the same order, so that
    no result depends on the batch. `attack` is a `DecoderAttack`, fitted by `fit` where it is not yet.

    Never give the victim as the only surrogate: refinement then finds texture that raises the victim's own cosine and
    lowers every judge's. Cost: `steps` passes forth and back through decoder and surrogates. A saved one holds its
    surrogates, which therefore are made of `featinv.encoders.networks`.

    Raises BadInput for an attack without a decoder, for no surrogate, for a held-out one among the surrogates, for
    surrogates of a judge's family, and for settings out of range. Sources: refining a generator's input
    arXiv:2407.02403 and arXiv:2508.20613; the whitened distance, the stop and the common views are ours.
    """

    kind = "attack"

    def __init__(
        self,
        attack: object,
        surrogates: Sequence[Encoder],
        held_out: Encoder,
        *,
        steps: int = 60,
        lr: int | float = 0.03,
        penalty: int | float = 0.1,
        seed: int = 0,
    ) -> None:
        if not isinstance(attack, DecoderAttack):
            raise BadInput(
                f"Refined: expected a DecoderAttack, whose decoder's input is refined, got {type(attack).__name__}; "
                "refine a trained decoder"
            )
        check_surrogates("Refined", surrogates, held_out)
        check_steps(steps, lr, penalty)
        self.attack = attack
        self.surrogates, self.held_out = tuple(surrogates), held_out
        self.settings = Settings(steps, float(lr), float(penalty), check_seed("seed", seed))
        self._expected: tuple[Expected, ...] = ()

    def __repr__(self) -> str:
        names = ", ".join(surrogate.name for surrogate in self.surrogates)
        settings = ", ".join(f"{name}={value!r}" for name, value in self.settings._asdict().items())
        return f"Refined({self.attack!r}, [{names}], held_out={self.held_out.name}, {settings})"

    @property
    def parameters(self) -> int:
        """Those of the attack, and the numbers of the predictions."""
        return self.attack.parameters + sum(expected.numbers for expected in self._expected)

    @property
    def feature_shape(self) -> tuple[int, ...]:
        """That of the attack."""
        return self.attack.feature_shape

    @property
    def image_size(self) -> int:
        """That of the attack."""
        return self.attack.image_size

    @property
    def victim(self) -> dict[str, Any]:
        """That of the attack."""
        return self.attack.victim

    @property
    def excluded_judges(self) -> frozenset[str]:
        """Fingerprints of what the attack was trained to please, and of all surrogates."""
        own = {surrogate.weights_fingerprint for surrogate in (*self.surrogates, self.held_out)}
        return self.attack.excluded_judges | own

    def fit(self, pairs: PairsLike) -> "Refined":
        """Fit the attack where it is not, and learn what each surrogate should see of a vector's original."""
        if self.attack.network is None:
            self.attack.fit(pairs)
        elif tuple(pairs.feature_shape) != self.feature_shape or dict(pairs.metadata) != self.victim:
            raise BadInput("pairs: expected those of the victim that the attack was fitted on; give the same pairs")
        rows = rows_to_learn_from(pairs, self.settings.seed)
        vectors = self._standardised(torch.from_numpy(pairs.features(rows)))
        self._expected = learn_expected((*self.surrogates, self.held_out), pairs, vectors, rows)
        return self

    def reconstruct(self, features: Features) -> Images:
        """Refine the reconstruction of each vector, in blocks of 32. Raises BadInput before `fit`."""
        if not self._expected:
            raise BadInput("Refined: expected a fitted attack, got one before fit(pairs); fit it first")
        vectors = check_features(features, self.feature_shape)
        images = torch.empty(len(vectors), 3, self.image_size, self.image_size)
        for start in range(0, len(vectors), BLOCK):
            part = vectors[start : start + BLOCK]
            filled = torch.cat([part, part[-1:].expand(BLOCK - len(part), *part.shape[1:])])
            images[start : start + len(part)] = self._refined(filled)[: len(part)]
        return images.to(features.device)

    def state(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """Return a JSON-able configuration and the tensors, of the attack and of each surrogate by its number."""
        if not self._expected:
            raise BadInput("Refined: expected a fitted attack to save, got one before fit(pairs)")
        inner, weights = self.attack.state()
        surrogates, tensors = expected_state(self._expected)
        tensors |= {f"attack.{name}": tensor for name, tensor in weights.items()}
        return {"attack": inner, "surrogates": surrogates, "settings": self.settings._asdict()}, tensors

    @classmethod
    def from_state(cls, config: dict[str, Any], tensors: dict[str, Tensor], allow: Any = ()) -> "Refined":
        """Rebuild it with its surrogates, to reconstruct."""
        attack = DecoderAttack.from_state(config["attack"], under("attack.", tensors), allow)
        rebuilt = expected_from_state(config["surrogates"], tensors, math.prod(attack.feature_shape))
        *surrogates, held_out = (member.surrogate for member in rebuilt)
        refined = cls(attack, surrogates, held_out, **config["settings"])
        refined._expected = tuple(rebuilt)
        return refined

    def _standardised(self, vectors: Tensor) -> Tensor:
        """(B, *F) -> (B, D), by the decoder's own layer where it has one."""
        network = self.attack.network
        layer = None if network is None else dict(network.named_children()).get("standardise")
        with torch.no_grad():
            return (vectors if layer is None else layer(vectors.to(next(layer.buffers()).device)).cpu()).flatten(1)

    def _refined(self, vectors: Tensor) -> Tensor:
        assert self.attack.network is not None
        decoder = dict(self.attack.network.named_children())["decoder"]
        device = next(decoder.parameters()).device
        wanted = self._standardised(vectors)
        change = torch.zeros_like(wanted).requires_grad_()
        optimiser = torch.optim.Adam([change], lr=self.settings.lr)
        dice = torch.Generator().manual_seed(self.settings.seed)
        *through, judge = self._expected

        def drawn() -> Tensor:
            images: Tensor = decoder((wanted + change).unflatten(1, self.feature_shape).to(device))
            return images.clamp(0, 1).cpu()

        with torch.no_grad():
            best = drawn()
            nearest = judge.distance(best, wanted)
        for step in range(1, self.settings.steps + 1):
            with torch.enable_grad():
                view = common_view(drawn(), dice)
                far = torch.stack([member.distance(view, wanted) for member in through]).mean(0)
                loss = far + self.settings.penalty * change.square().mean(1)
                optimiser.zero_grad()
                loss.sum().backward()  # a sum, so that no image's gradient depends on how many there are
            optimiser.step()
            if step % LOOK_EVERY == 0 or step == self.settings.steps:
                with torch.no_grad():
                    images = drawn()
                    distance = judge.distance(images, wanted)
                    better = distance < nearest
                    nearest = torch.where(better, distance, nearest)
                    best = torch.where(better[:, None, None, None], images, best)
        return best
