"""Known attacks by name, unfitted, each setting with its origin: places to start from, not results.

"Stated": by the source named. "Adapted": how, and from what. "Ours": the source has no such thing. "Not re-read": known
from memory or a summary, because the source could not be opened. In all but Listik's, ours are the decoder
(`Upsampling`), the moving average of its weights, the held-out pairs, and a budget that fits a desk and not a paper.
First weights of decoder and discriminator are drawn from `training.seed`. A `training` replaces all of a preset's.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Literal, TypeVar

from torch import nn

from featinv.attacks import DecoderAttack
from featinv.decoders import Listik, Upsampling
from featinv.discriminators import DCGAN, DiffAugment, Patch, Projection
from featinv.encoders import Encoder
from featinv.errors import BadInput
from featinv.losses import (
    BCE,
    L1,
    MSE,
    R1,
    R2,
    Drawn,
    Identification,
    Loss,
    Perceptual,
    RandomViews,
    hinge,
    non_saturating,
    public_features,
    relativistic,
)
from featinv.plain_numbers import check_positive
from featinv.processes import seeded
from featinv.training import Adversary, Ball, ClassifierTraining, Training, check_bank, distil_bank, train_surrogate
from featinv.training.bank import ROBUST
from featinv.types import PairsLike

Made = TypeVar("Made")

GAMMA = {32: 0.05, 64: 2.0, 128: 17.3, 256: 150.0}
"""R3GAN's first gamma by image size, for pixels in [-1, 1]: CIFAR-10, FFHQ-64 and FFHQ-256 in its train.py; that for
128 is ours, the geometric mean of its neighbours"""


def listik(
    feature_shape: int | Sequence[int],
    image_size: int = 256,
    *,
    decoder: nn.Module | None = None,
    training: Training | None = None,
) -> DecoderAttack:
    """Return the attack of the paper: its decoder, binary cross-entropy, Adadelta, raw vectors, the last weights.

    Stated by the author's notebook (github tivvit/resnet_gan): all of it, see `Listik` and `Training.paper`.
    """
    training = training or Training.paper()
    decoder = decoder or _drawn(training, lambda: Listik(feature_shape, image_size))
    return DecoderAttack(decoder, BCE(), training)


def perceptual(
    encoder: Encoder, image_size: int, *, decoder: nn.Module | None = None, training: Training | None = None
) -> DecoderAttack:
    """Return a decoder that pleases the layers of the target itself: L1 + 1 * Perceptual(encoder).

    Adapted from the reconstruction loss of VQGAN (arXiv:2012.09841, its code: L1 + 1 * LPIPS), with the target's own
    layers, which need no download, in the place of LPIPS; losses on features are from arXiv:1603.08155. The target and
    its siblings can then judge nothing. Ours: the training, which is the default one.
    """
    training = training or Training()
    decoder = decoder or _upsampling(encoder.feature_shape, image_size, training)
    return DecoderAttack(decoder, L1() + 1.0 * Perceptual(encoder), training)


def dcgan(
    feature_shape: int | Sequence[int],
    image_size: int,
    *,
    decoder: nn.Module | None = None,
    training: Training | None = None,
) -> DecoderAttack:
    """Return a decoder that has to please the discriminator of DCGAN too, beside a pixel loss.

    Stated by arXiv:1511.06434, section 4: the discriminator with batch norm, Adam at 2e-4 with a first beta of 0.5,
    batches of 128, no schedule. Stated by arXiv:1406.2661: the non-saturating loss. Not re-read: the second beta of
    0.999 (Adam's default). Ours: the pixel loss, and with it the weight of 0.005 (by eye, on public scenes) and the
    start after a tenth.
    """
    training = training or _plain(lr=2e-4, betas=(0.5, 0.999))
    decoder = decoder or _upsampling(feature_shape, image_size, training)
    discriminator = _drawn(training, lambda: DCGAN(image_size, norm="batch"))
    adversary = Adversary(
        discriminator,
        non_saturating,
        weight=0.005,
        adversarial_start=0.1,
        discriminator_warmup=0.05,
        lr=2e-4,
        betas=(0.5, 0.999),
    )
    return DecoderAttack(decoder, MSE(), training, adversary=adversary)


def deepsim(
    encoder: Encoder,
    image_size: int,
    *,
    comparator: Loss | None = None,
    decoder: nn.Module | None = None,
    training: Training | None = None,
) -> DecoderAttack:
    """Return the three losses of DeePSiM (arXiv:1602.02644): pixels, features, and an adversary.

    Stated: the sum of the three, squared errors, the non-saturating loss. Adapted: the comparator is the target itself,
    where the paper has AlexNet's conv5; its weights (0.01 for features, 100 adversarial, 2e-6 for pixels: not re-read)
    are for summed losses on pixels in [0, 255] and mean nothing for means on [0, 1], so that here pixels have 1,
    features 0.1 and the adversary the adaptive weight of VQGAN, 0.8. Not re-read: Adam at 2e-4 with betas 0.9 and
    0.999, batches of 64. Left out: the pause of a discriminator that wins, in whose place it has spectral norm (ours).
    """
    training = training or _plain(lr=2e-4, betas=(0.9, 0.999), batch_size=64)
    decoder = decoder or _upsampling(encoder.feature_shape, image_size, training)
    discriminator = _drawn(training, lambda: DCGAN(image_size, norm="spectral"))
    adversary = Adversary(
        discriminator,
        non_saturating,
        weight=0.8,
        adaptive=True,
        adversarial_start=0.1,
        discriminator_warmup=0.05,
        lr=2e-4,
        betas=(0.9, 0.999),
    )
    objective = MSE() + 0.1 * (comparator or Perceptual(encoder))
    return DecoderAttack(decoder, objective, training, adversary=adversary)


def vqgan(
    encoder: Encoder,
    image_size: int,
    *,
    perceptual: Loss | None = None,
    decoder: nn.Module | None = None,
    training: Training | None = None,
) -> DecoderAttack:
    """Return VQGAN's recipe for decoders (arXiv:2012.09841): L1, a perceptual loss, and a discriminator of patches.

    Stated by its code and configs/imagenet_vqgan.yaml: L1 + 1 * perceptual, hinge, the adaptive weight times 0.8, a
    discriminator of 3 layers of 64 channels with batch norm, both players by Adam with betas 0.5 and 0.9 at 4.5e-6 a
    image of the batch (5.76e-4 for our 128), the discriminator learning from the moment it is heard. Adapted: that is
    a fifth of the budget instead of step 250,001; the perceptual loss is on the target's layers, because LPIPS needs
    weights from elsewhere: where they are to be had, `perceptual=LPIPS("vgg")` is the source's.
    """
    training = training or _plain(lr=5.76e-4, betas=(0.5, 0.9))
    decoder = decoder or _upsampling(encoder.feature_shape, image_size, training)
    discriminator = _drawn(training, lambda: Patch(image_size, layers=3, width=64, norm="batch"))
    adversary = Adversary(
        discriminator,
        hinge,
        weight=0.8,
        adaptive=True,
        adversarial_start=0.2,
        discriminator_warmup=0.0,
        lr=5.76e-4,
        betas=(0.5, 0.9),
    )
    return DecoderAttack(decoder, L1() + 1.0 * (perceptual or Perceptual(encoder)), training, adversary=adversary)


def r3gan(
    feature_shape: int | Sequence[int],
    image_size: int,
    *,
    decoder: nn.Module | None = None,
    training: Training | None = None,
) -> DecoderAttack:
    """Return the adversary of R3GAN (arXiv:2501.05441): each reconstruction against its own original, with R1 and R2.

    Stated by the paper, equation 2, and its train.py: the relativistic loss, both penalties, no normalisation layers,
    Adam with a first beta of 0 and eps 1e-8, learning rate 2e-4. Adapted: gamma is a quarter of theirs, because their
    pixels are in [-1, 1] (`GAMMA`), and stays, where theirs falls tenfold; beta 0.99, where theirs rises to it from
    0.9; the rate falls to 0 instead of 5e-5; DiffAugment for their adaptive augmentation; conditional by `Projection`,
    whose bias they lack. Ours: DCGAN's layers, the pixel loss, the weight of 0.005 beside it (that of `dcgan`) and the
    start after a tenth.
    """
    if image_size not in GAMMA:
        raise BadInput(
            f"presets.r3gan: expected image_size to be one of {', '.join(map(str, GAMMA))}, got {image_size}"
        )
    training = training or _plain(lr=2e-4, betas=(0.0, 0.99), schedule="cosine")
    decoder = decoder or _upsampling(feature_shape, image_size, training)
    discriminator = _drawn(training, lambda: Projection(DCGAN(image_size, norm="none"), feature_shape))
    gamma = GAMMA[image_size] / 4
    adversary = Adversary(
        discriminator,
        relativistic,
        weight=0.005,
        penalties=[R1(gamma), R2(gamma)],
        augment=DiffAugment("translation,cutout"),
        adversarial_start=0.1,
        discriminator_warmup=0.05,
        lr=2e-4,
        betas=(0.0, 0.99),
    )
    return DecoderAttack(decoder, MSE(), training, adversary=adversary)


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
    one, other = surrogates or two_distilled(pairs, distillation)
    objective = (
        3.0 * MSE()
        + 0.5 * RandomViews(Perceptual(one, ["stages.1", "stages.2", "norm"], [0.25, 0.25, 1]))
        + 0.5 * RandomViews(Perceptual(other, ["stages.1", "stages.2", "stages.3", "norm"], [0.17, 0.17, 0.16, 1]))
    )
    return DecoderAttack(decoder, objective, training)


def identify(
    pairs: PairsLike,
    *,
    decoder: nn.Module | None = None,
    training: Training | None = None,
    distillation: ClassifierTraining | None = None,
    ball: Ball | None = ROBUST,
    bank: Sequence[Encoder] | None = None,
    drawn: int = 2,
    tau: int | float = 0.1,
    weight: int | float = 0.3,
) -> DecoderAttack:
    """Return a decoder whose reconstructions must single out their originals, seen through a bank of surrogates.

    The bank (`distil_bank`, unless given) is distilled at once: four families, images moved inside `ball`. Each step
    looks through `drawn` of them. The objective is 3 * MSE plus the mean over these of
    0.5 * RandomViews(Perceptual) + `weight` * RandomViews(Identification), the latter at the temperature `tau` among
    all public images. Beside `two_surrogates` it trades pixels for identification; docs/results/identify.md has what
    was measured, and what was not. `pairs` are a `Pairs`; no labels and no weights of the victim are needed.

    Raises BadInput for a tau or ball that is not above 0, for less than 2 pairs, for vectors above 8,192-d, for a given
    bank that is empty, of a judge's family, or distilled from another victim. Ours, from parts: adversarial
    distillation arXiv:1906.00945, the contrastive loss arXiv:1807.03748, random views arXiv:1906.03973.
    """
    training = training or _for_surrogates(pairs)
    # Before the minutes of distilling: what cannot work is refused at once.
    decoder = decoder or _half_size(pairs, training)
    check_positive("identify: tau", tau)
    if drawn < 1:
        raise BadInput(f"identify: expected drawn to be at least 1 surrogate a step, got {drawn}")
    if bank is not None:
        check_bank(bank, pairs)
    members = tuple(distil_bank(pairs, distillation, ball=ball) if bank is None else bank)
    losses_of_bank = [_seen_through(surrogate, pairs, tau, weight) for surrogate in members]
    return DecoderAttack(decoder, 3.0 * MSE() + Drawn(losses_of_bank, min(drawn, len(losses_of_bank))), training)


def _seen_through(surrogate: Encoder, pairs: PairsLike, tau: int | float, weight: int | float) -> Loss:
    maps = surrogate.stages[1:]  # the first is as fine as the image, and costs most
    shares = [0.5 / len(maps) for _ in maps]  # a transformer has none
    likeness = Perceptual(surrogate, [*maps, "norm"], [*shares, 1])
    singled_out = Identification(surrogate, public_features(surrogate, pairs.images), tau=tau)
    return 0.5 * RandomViews(likeness) + weight * RandomViews(singled_out, both=False)


def two_distilled(pairs: PairsLike, distillation: ClassifierTraining | None = None) -> tuple[Encoder, Encoder]:
    """Return the two networks that `two_surrogates` looks through, distilled from public pairs; takes minutes.

    They differ in width and depth, so that what pleases both is no texture of one. The first has the seed of
    `distillation`, the second the one after it, and each has its `minutes` if there are any. Raises BadInput as
    `two_surrogates` does. Ours (recipes/configs/cifar10_surrogate.yaml); distillation is from arXiv:1503.02531.
    """
    (one, _), (other, _) = distil_two(pairs, distillation)
    return one, other


def distil_two(
    pairs: PairsLike, distillation: ClassifierTraining | None = None
) -> tuple[tuple[Encoder, list[dict[str, float]]], tuple[Encoder, list[dict[str, float]]]]:
    """Return the two networks of `two_distilled`, each with the history of its distillation (a row an epoch)."""
    first = distillation or ClassifierTraining(epochs=20, blur=0.35, cutout=0.25)
    second = replace(first, seed=first.seed + 1)
    one = train_surrogate(pairs, first)
    other = train_surrogate(pairs, second, name="surrogate_b", widths=(24, 48, 96, 192), blocks=(1, 1, 1, 1))
    return one, other


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


def _half_size(pairs: PairsLike, training: Training) -> Upsampling:
    """A decoder that draws at half the side, so that no texture can be drawn that only a network sees."""
    size = pairs.image_size
    return _drawn(
        training,
        lambda: Upsampling(pairs.feature_shape, size, width=256, channels=8, finest=max(8, size // 2), dropout=0.1),
    )


def _plain(
    *,
    lr: float,
    betas: tuple[float, float],
    batch_size: int = 128,
    schedule: Literal["constant", "cosine"] = "constant",
) -> Training:
    """Adam as its authors have it: no weight decay, no warm-up, no clipping."""
    return Training(
        lr=lr,
        betas=betas,
        eps=1e-8,
        weight_decay=0.0,
        batch_size=batch_size,
        schedule=schedule,
        warmup=0.0,
        clip=None,
    )


def _upsampling(feature_shape: int | Sequence[int], image_size: int, training: Training) -> Upsampling:
    return _drawn(training, lambda: Upsampling(feature_shape, image_size))


def _drawn(training: Training, make: Callable[[], Made]) -> Made:
    """First weights are a function of the attack's own seed, not of what was built before it."""
    with seeded(training.seed):
        return make()
