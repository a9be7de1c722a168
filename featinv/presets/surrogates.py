"""Attacks that look through surrogates: networks of the attacker's own, distilled from public pairs."""

from collections.abc import Sequence
from dataclasses import replace

from torch import nn

from featinv.attacks import DecoderAttack
from featinv.decoders import Upsampling
from featinv.encoders import Encoder
from featinv.errors import BadInput
from featinv.losses import (
    MSE,
    Drawn,
    Identification,
    Loss,
    Perceptual,
    RandomViews,
    public_features,
)
from featinv.plain_numbers import check_positive
from featinv.training import Ball, ClassifierTraining, Training, check_bank, train_bank, train_surrogate
from featinv.types import PairsLike

from .first_weights import drawn
from .retouching import two_copies


def two_surrogates(
    pairs: PairsLike,
    *,
    decoder: nn.Module | None = None,
    training: Training | None = None,
    distillation: ClassifierTraining | None = None,
    surrogates: tuple[Encoder, Encoder] | None = None,
) -> DecoderAttack:
    """Return a decoder that looks through two networks distilled from the public pairs, and draws nothing finer.

    It needs neither the victim's weights nor labels, and takes minutes before it returns: both surrogates are distilled
    at once (`two_distilled`), unless they are given as `surrogates`. The objective is
    3 * MSE + 0.5 * RandomViews(Perceptual(surrogate)) for each of the two, and the decoder draws at half the side.
    `pairs` are a `Pairs`; a `training` of yours says itself whether to flip. Surrogates of a few hundred pairs have
    seen little. Raises BadInput for less than 2 pairs to distil from, and for vectors above 8,192-d.

    Ours, all of it: recipes/configs/cifar10_goal.yaml, measured in docs/results/cifar10_gan.md, where the settings were
    chosen on 10,000 public images of CIFAR-10. What it is made of is from elsewhere: distillation from
    arXiv:1503.02531, the loss from arXiv:1801.03924, its random views from arXiv:1906.03973.
    """
    training = training or _for_surrogates(pairs)
    # Before the minutes of distilling: a size that no decoder draws is refused at once.
    decoder = decoder or _half_size(pairs, training)
    first_surrogate, other = surrogates or two_distilled(pairs, distillation)
    objective = (
        3.0 * MSE()
        + 0.5 * RandomViews(Perceptual(first_surrogate, ["stages.1", "stages.2", "norm"], [0.25, 0.25, 1]))
        + 0.5 * RandomViews(Perceptual(other, ["stages.1", "stages.2", "stages.3", "norm"], [0.17, 0.17, 0.16, 1]))
    )
    return DecoderAttack(decoder, objective, training)


def identify(
    pairs: PairsLike,
    *,
    decoder: nn.Module | None = None,
    training: Training | None = None,
    distillation: ClassifierTraining | None = None,
    ball: Ball | None = None,
    bank: Sequence[Encoder] | None = None,
    encoder: Encoder | None = None,
    drawn: int = 2,
    tau: int | float = 0.1,
    weight: int | float = 1,
    likeness: int | float = 0,
    pixels: int | float = 10,
) -> DecoderAttack:
    """Return a decoder whose reconstructions must single out their originals, seen through a bank of networks.

    The bank (`train_bank`, unless given) is trained at once, on the public images: four classifiers, which learn labels
    (clusters of the vectors where there are none). With the victim's `encoder` two robust copies of it stand beside
    them (`retouch`). Each step looks through `drawn` of all. The objective is `pixels` * MSE plus the mean over these
    of `weight` * RandomViews(Identification), at the temperature `tau` among all public images, plus `likeness` *
    RandomViews(Perceptual). `distillation` and `ball` are how the classifiers are trained.

    Beside `two_surrogates` it trades pixels for identification; docs/results/identify.md has what was measured. `pairs`
    are a `Pairs`; neither labels nor the encoder are needed.

    Raises BadInput for a tau or ball that is not above 0, for fewer than 40 pairs, for a given bank that is empty, of
    a judge's family, or made for another victim, and as `robust_copy` does. Ours, from parts: several networks, so that
    what pleases them all transfers to others, arXiv:1611.02770; adversarial distillation arXiv:1906.00945, the
    contrastive loss arXiv:1807.03748, random views arXiv:1906.03973.
    """
    training = training or _for_identification(pairs)
    # Before the minutes of training a bank: what cannot work is refused at once.
    decoder = decoder or _half_size(pairs, training)
    check_positive("identify: tau", tau)
    if drawn < 1:
        raise BadInput(f"identify: expected drawn to be at least 1 surrogate a step, got {drawn}")
    if bank is not None:
        check_bank(bank, pairs)
    copies = () if encoder is None else two_copies(encoder, pairs, seed=training.seed)
    members = (*copies, *(train_bank(pairs, distillation, ball=ball) if bank is None else bank))
    losses_of_bank = [_seen_through(surrogate, pairs, tau, weight, likeness) for surrogate in members]
    return DecoderAttack(decoder, pixels * MSE() + Drawn(losses_of_bank, min(drawn, len(losses_of_bank))), training)


def _seen_through(
    surrogate: Encoder, pairs: PairsLike, tau: int | float, weight: int | float, likeness: int | float
) -> Loss:
    singled_out = RandomViews(Identification(surrogate, public_features(surrogate, pairs.images), tau=tau), both=False)
    if not likeness:
        return weight * singled_out
    maps = surrogate.stages[1:]  # the first is as fine as the image, and costs most
    shares = [0.5 / len(maps) for _ in maps]  # a transformer has none
    alike = Perceptual(surrogate, [*maps, "norm"], [*shares, 1])
    return likeness * RandomViews(alike) + weight * singled_out


def two_distilled(pairs: PairsLike, distillation: ClassifierTraining | None = None) -> tuple[Encoder, Encoder]:
    """Return the two networks that `two_surrogates` looks through, distilled from public pairs; takes minutes.

    They differ in width and depth, so that what pleases both is no texture of one. The first has the seed of
    `distillation`, the second the one after it, and each has its `minutes` if there are any. Raises BadInput as
    `two_surrogates` does. Ours (recipes/configs/cifar10_surrogate.yaml); distillation is from arXiv:1503.02531.
    """
    (first_surrogate, _), (other, _) = distil_two(pairs, distillation)
    return first_surrogate, other


def distil_two(
    pairs: PairsLike, distillation: ClassifierTraining | None = None
) -> tuple[tuple[Encoder, list[dict[str, float]]], tuple[Encoder, list[dict[str, float]]]]:
    """Return the two networks of `two_distilled`, each with the history of its distillation (a row an epoch)."""
    first = distillation or ClassifierTraining(epochs=20, blur=0.35, cutout=0.25)
    second = replace(first, seed=first.seed + 1)
    first_surrogate = train_surrogate(pairs, first)
    other = train_surrogate(pairs, second, name="surrogate_b", widths=(24, 48, 96, 192), blocks=(1, 1, 1, 1))
    return first_surrogate, other


def _for_surrogates(pairs: PairsLike) -> Training:
    """The training of a decoder that looks through surrogates."""
    return Training(
        lr=1e-3,
        weight_decay=0.02,
        batch_size=128,
        images=102_400,
        ema=0.998,
        flips=pairs.views >= 2,
        keep="last",
    )


def _for_identification(pairs: PairsLike) -> Training:
    """The training of a decoder that looks through a bank: six times the images, at twice the rate."""
    return replace(_for_surrogates(pairs), images=614_400, batch_size=256, lr=2e-3, ema=0.99)


def _half_size(pairs: PairsLike, training: Training) -> Upsampling:
    """A decoder that draws at half the side, so that no texture can be drawn that only a network sees."""
    size = pairs.image_size
    return drawn(
        training,
        lambda: Upsampling(pairs.feature_shape, size, width=256, channels=8, finest=max(8, size // 2), dropout=0.1),
    )
