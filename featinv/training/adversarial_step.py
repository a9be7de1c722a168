"""One step of a decoder and its adversary."""

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.optim import Optimizer

from featinv.discriminators import Discriminator
from featinv.discriminators.discriminator import Logits
from featinv.errors import BadInput
from featinv.losses import AdversarialLoss, Loss, Penalty, adaptive_weight
from featinv.training.adversary import Adversary
from featinv.training.batches import Batch
from featinv.training.network_optimizer import (
    Logged,
    NetworkOptimizer,
    adamw,
    decoder_optimizer,
    micro_batches,
    trained,
)
from featinv.training.progress import Progress, rate
from featinv.training.settings import Training
from featinv.training.step import weighed
from featinv.types import Features, Images, PerImage


class Judged(NamedTuple):
    """The logits of originals and reconstructions, and the losses made of them."""

    real: Logits
    fake: Logits
    adversarial_loss: PerImage
    penalties: dict[str, PerImage]


class DiscriminatorHalf(nn.Module):
    """originals, reconstructions, features, step -> Judged: adversarial loss and penalties due, each (B,).

    One module around all passes of the discriminator, because DDP wants one call of forward for one backward (between
    two it would write over the buffers of a batch norm that backward needs), and because its state is then that of the
    penalties too. Penalties are computed in full precision: their gradients of logits with respect to single pixels are
    too small for 16 bits.
    """

    def __init__(self, discriminator: Discriminator, loss: AdversarialLoss, penalties: Sequence[Penalty]) -> None:
        super().__init__()
        self.discriminator = discriminator
        self.loss = loss
        self.penalties = penalties
        self.held = nn.ModuleList(penalties)  # so that they move, and are saved, with this module
        kinds = [type(penalty).__name__ for penalty in penalties]
        counts = [kinds[: place + 1].count(kind) for place, kind in enumerate(kinds)]
        self.names = [kind if count == 1 else f"{kind}_{count}" for kind, count in zip(kinds, counts, strict=True)]

    def forward(self, originals: Images, reconstructions: Images, features: Features, step: int) -> Judged:
        real = self.discriminator(originals, features)
        fake = self.discriminator(reconstructions, features)
        due: dict[str, PerImage] = {}
        with torch.autocast(originals.device.type, enabled=False):
            for name, penalty in zip(self.names, self.penalties, strict=True):
                if penalty.due(step):
                    due[name] = penalty(self.discriminator, originals, reconstructions, features)
        return Judged(real, fake, self.loss.discriminator(real, fake), due)


EPSILON = 1e-4
"""of the adaptive weight, as in the code of its source"""


class DecodedBatch(NamedTuple):
    """A micro-batch and its reconstructions, without a gradient."""

    part: Batch
    reconstructed: Images


class AdversarialStep:
    """Minimise an objective plus an adversarial term, then train the discriminator on the same reconstructions.

    The decoder's half comes first, with the discriminator frozen, so that no gradient of it is left in the
    discriminator; then the discriminator's half. Each is one optimiser step over all micro-batches. Before the
    adversary is active it equals `RegressionStep`, bit for bit. Losses are means over the global batch. Three things
    depend on micro-batches and processes: batch statistics, the adaptive weight, and LeCam's averages.
    Both networks are trained in place.
    """

    def __init__(
        self, decoder: nn.Module, objective: Loss, adversary: Adversary, settings: Training, accelerator: Accelerator
    ) -> None:
        self.decoder = decoder
        self.objective = objective.to(accelerator.device)
        self.adversary = adversary
        self.settings = settings
        self.discriminator = adversary.discriminator.to(accelerator.device).train()
        self.steps = 0  # of the discriminator: what lazy penalties and `decoder_every` count
        self._augment = nn.Identity() if adversary.augment is None else adversary.augment.to(accelerator.device)
        self._last_weight = last_weight(decoder) if adversary.adaptive else None
        self._accelerator = accelerator
        self._decoder = decoder_optimizer(decoder, settings, accelerator)
        half = DiscriminatorHalf(self.discriminator, adversary.loss, adversary.penalties)
        self._discriminator = NetworkOptimizer(
            half, self._optimiser, accelerator, name="discriminator", clip=adversary.clip
        )
        self.ema = self._decoder.ema

    @property
    def network(self) -> nn.Module:
        """The averaged decoder, or the decoder itself where no average is kept."""
        return self.decoder if self.ema is None else self.ema.network

    @property
    def extra_state(self) -> list[Any]:
        """The number of the discriminator's steps, and the moving average of the decoder, where there is one."""
        return [self] if self.ema is None else [self, self.ema]

    def __call__(self, batch: Batch, progress: Progress, /) -> dict[str, Tensor]:
        lr_scale = rate(self.settings, progress.fraction)
        adversary_active = progress.fraction >= self.adversary.adversarial_start
        learns = progress.fraction >= self.adversary.adversarial_start - self.adversary.discriminator_warmup
        parts = micro_batches(batch, self.settings.accumulation)

        if not adversary_active or self.steps % self.adversary.decoder_every == 0:
            decoded, logged = self._decoder_half(parts, adversary_active, lr_scale)
        else:
            with torch.no_grad():
                decoded, logged = [DecodedBatch(part, self._decoder.forward(part.features)) for part in parts], {}
        if learns:
            logged |= self._discriminator(decoded, self._discriminator_loss, self.adversary.lr * lr_scale)
            logged |= self._diversity(decoded)
            self.steps += 1
        return logged

    def _decoder_half(
        self, parts: list[Batch], adversary_active: bool, lr_scale: float
    ) -> tuple[list[DecodedBatch], Logged]:
        decoded: list[DecodedBatch] = []

        def loss(part: Batch) -> tuple[Tensor, Logged]:
            reconstructed = self._decoder.forward(part.features)
            decoded.append(DecodedBatch(part, reconstructed.detach()))
            regression, logged = weighed(self.objective, reconstructed, part)
            return (
                self._against_the_adversary(regression, logged, reconstructed, part)
                if adversary_active
                else (regression, logged)
            )

        with frozen(self.discriminator):
            logged = self._decoder(parts, loss, self.settings.lr * lr_scale)
        return decoded, logged

    def _against_the_adversary(
        self, regression: Tensor, logged: Logged, reconstructed: Images, part: Batch
    ) -> tuple[Tensor, Logged]:
        """Add the adversarial term; the discriminator is called unwrapped, because DDP has nothing to share here."""
        adversarial_loss = self.adversary.loss
        augmented = self._augment(reconstructed)
        originals = self._augment(part.images) if adversarial_loss.relativistic else None
        with self._accelerator.autocast():
            fake = self.discriminator(augmented, part.features)
            real = None if originals is None else self.discriminator(originals, part.features)
        term = adversarial_loss.generator(real, fake).sum() / part.total
        weight = self._weight(regression, term)
        loss = regression + weight * term
        logged |= {"train/loss": loss.detach(), "train/loss/adversarial": term.detach()}
        return loss, logged | {"train/adversary/weight": weight * (len(reconstructed) / part.total)}

    def _weight(self, regression: Tensor, term: Tensor) -> Tensor:
        weight = torch.full_like(term, self.adversary.weight)
        if self._last_weight is None:
            return weight
        # As for backward: fp16's small gradients would vanish. The ratio and its epsilon stay what they are without.
        scale = 1.0 if self._accelerator.scaler is None else self._accelerator.scaler.get_scale()
        ratio = adaptive_weight(scale * regression, scale * term, self._last_weight, epsilon=scale * EPSILON)
        return weight * ratio

    def _discriminator_loss(self, decoded: DecodedBatch) -> tuple[Tensor, Logged]:
        part, reconstructed = decoded
        judged = self._discriminator.forward(
            self._augment(part.images), self._augment(reconstructed), part.features, self.steps
        )
        losses = {"discriminator": judged.adversarial_loss, **judged.penalties}
        shares = {f"train/loss/{name}": value.sum() / part.total for name, value in losses.items()}
        gap = (judged.real - judged.fake).detach().reshape(len(reconstructed), -1)
        # How often an original looks more real than its own reconstruction: every adversarial_loss has that in common.
        accuracy = (1 + gap.sign()).mean(1).sum() / (2 * part.total)
        measured = {
            "train/discriminator/accuracy": accuracy,
            "train/discriminator/margin": gap.mean(1).sum() / part.total,
        }
        return torch.stack(list(shares.values())).sum(), {k: v.detach() for k, v in shares.items()} | measured

    def _diversity(self, decoded: list[DecodedBatch]) -> Logged:
        """Return the spread of the reconstructions of a batch, as a share of that of the originals."""
        processes = self._accelerator.num_processes
        if decoded[0].part.total < 2 * processes:
            return {}
        spread = [
            torch.cat(images).std(0, unbiased=False).mean()
            for images in ([reconstructed for _, reconstructed in decoded], [part.images for part, _ in decoded])
        ]
        return {"train/diversity": spread[0] / spread[1].clamp(min=1e-6) / processes}

    def _optimiser(self, parameters: Iterable[nn.Parameter]) -> Optimizer:
        numbers = self.adversary
        learning = trained(parameters, "discriminator")
        return adamw(learning, numbers.lr, numbers.betas, eps=numbers.eps, decay=numbers.weight_decay)

    def state_dict(self) -> dict[str, Any]:
        """Return what a resumed training needs, beside the networks."""
        return {"steps": self.steps}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from there."""
        self.steps = int(state["steps"])


@contextlib.contextmanager
def frozen(network: nn.Module) -> Iterator[None]:
    """Let no gradient reach the weights of a network meanwhile (and leave frozen what was frozen before)."""
    learning = [parameter for parameter in network.parameters() if parameter.requires_grad]
    for parameter in learning:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in learning:
            parameter.requires_grad_(True)


def last_weight(decoder: nn.Module) -> Tensor:
    """Return the weight of a decoder's last layer, for the adaptive weight.

    It is the attribute `last_weight` of the decoder, or of a part of it; else the last of its parameters that is a
    matrix or a kernel and learns. Raises BadInput when there is none.
    """
    named = [getattr(module, "last_weight", None) for module in decoder.modules()]
    learning = [parameter for parameter in decoder.parameters() if parameter.ndim >= 2 and parameter.requires_grad]
    chosen = [*(weight for weight in named if isinstance(weight, Tensor)), *reversed(learning)]
    if not chosen:
        raise BadInput(
            "adversary.adaptive: expected a decoder with a matrix or kernel that learns, got none; give the decoder an "
            "attribute last_weight, or set adaptive to false"
        )
    return chosen[0]
