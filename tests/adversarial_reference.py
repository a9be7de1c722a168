"""The training of a decoder and a discriminator in plain torch, for the contracts of the adversarial step."""

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from featinv import Adversary, Training
from featinv.training.batches import Batches
from featinv.training.progress import rate

STEPS, BATCH = 20, 24
PLAIN = Training(images=STEPS * BATCH, batch_size=BATCH, lr=3e-3, eps=1e-4, clip=0.02, ema=0.9, warmup=0.1, holdout=0)
GAMMA = 0.5


class Outcome(NamedTuple):
    """Weights by name after the last step."""

    decoder: dict[str, Tensor]
    average: dict[str, Tensor]
    discriminator: dict[str, Tensor]


def weights(network: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in network.state_dict().items()}


def by_hand(
    decoder: nn.Module,
    adversary: Adversary,
    pairs: Any,
    *,
    relativistic: bool = False,
    split: int = 1,
    autocast: bool = False,
) -> Outcome:
    """Twenty steps; the adversary is asked for numbers and its discriminator only."""
    discriminator = adversary.discriminator
    batches = Batches(pairs, batch_size=BATCH, seed=PLAIN.seed)
    first = torch.optim.AdamW(decoder.parameters(), betas=PLAIN.betas, eps=PLAIN.eps, weight_decay=PLAIN.weight_decay)
    second = torch.optim.Adam(discriminator.parameters(), betas=adversary.betas, eps=adversary.eps)
    average: dict[str, Tensor] = {}
    learned = painted = 0
    for step in range(STEPS):
        first.param_groups[0]["lr"] = PLAIN.lr * rate(PLAIN, step / STEPS)
        second.param_groups[0]["lr"] = adversary.lr * rate(PLAIN, step / STEPS)
        features, images = pairs.batch(batches.indices(step))
        parts = list(zip(features.tensor_split(split), images.tensor_split(split), strict=True))
        active, learns = (
            step >= adversary.adversarial_start * STEPS,
            step >= (adversary.adversarial_start - adversary.discriminator_warmup) * STEPS,
        )

        made = []
        first.zero_grad()
        for vectors, originals in parts:
            with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
                batch = decoder(vectors)
            batch = batch.to(originals.dtype)
            made.append(batch.detach())
            loss = ((batch - originals) ** 2).mean() * len(originals) / BATCH
            if active:
                loss = loss + adversary.weight * _fooled(
                    discriminator, batch, originals, vectors, relativistic, autocast
                )
            loss.backward()
        if not active or learned % adversary.decoder_every == 0:
            _clip(decoder)
            first.step()
            decay = min(PLAIN.ema, (1 + painted) / (10 + painted))
            for name, weight in decoder.state_dict().items():
                average[name] = weight.clone() if painted == 0 else decay * average[name] + (1 - decay) * weight
            painted += 1

        if learns:
            second.zero_grad()  # also of what the decoder's half has left there
            for (vectors, originals), batch in zip(parts, made, strict=True):
                _told_apart(discriminator, batch, originals, vectors, relativistic, autocast, learned).backward()
            second.step()
            learned += 1
    return Outcome(weights(decoder), average, weights(discriminator))


def _fooled(
    discriminator: nn.Module, made: Tensor, images: Tensor, vectors: Tensor, relativistic: bool, autocast: bool
) -> Tensor:
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        fake, real = discriminator(made, vectors), discriminator(images, vectors)
    fake, real = fake.to(images.dtype), real.to(images.dtype)
    loss = F.softplus(real - fake) if relativistic else -fake
    return loss.mean() * len(images) / BATCH


def _told_apart(
    discriminator: nn.Module,
    made: Tensor,
    images: Tensor,
    vectors: Tensor,
    relativistic: bool,
    autocast: bool,
    learned: int,
) -> Tensor:
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        real, fake = discriminator(images, vectors), discriminator(made, vectors)
    fake, real = fake.to(images.dtype), real.to(images.dtype)
    loss = F.softplus(fake - real).mean() if relativistic else (F.relu(1 - real) + F.relu(1 + fake)).mean()
    if relativistic:  # R1 in every second step, R2 in every third: GAMMA / 2 * |gradient|^2, times 2 and 3
        for every, batch in ((2, images), (3, made)):
            if learned % every == 0:
                pixels = batch.clone().requires_grad_()
                logit = discriminator(pixels, vectors).mean(1).sum()
                (slope,) = torch.autograd.grad(logit, pixels, create_graph=True)
                loss = loss + every * GAMMA / 2 * (slope**2).sum((1, 2, 3)).mean()
    return loss * len(images) / BATCH


def _clip(decoder: nn.Module) -> None:
    norm = torch.stack([parameter.grad.norm() for parameter in decoder.parameters()]).norm()
    for parameter in decoder.parameters():
        parameter.grad *= min(1.0, PLAIN.clip / (float(norm) + 1e-6))
