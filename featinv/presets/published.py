"""Attacks that were published: Listik's decoder, and those with perceptual losses and discriminators."""

from collections.abc import Sequence
from typing import Literal

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
    Loss,
    Perceptual,
    hinge,
    non_saturating,
    relativistic,
)
from featinv.training import Adversary, Training

from .first_weights import drawn

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
    decoder = decoder or drawn(training, lambda: Listik(feature_shape, image_size))
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
    discriminator = drawn(training, lambda: DCGAN(image_size, norm="batch"))
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
    discriminator = drawn(training, lambda: DCGAN(image_size, norm="spectral"))
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
    discriminator = drawn(training, lambda: Patch(image_size, layers=3, width=64, norm="batch"))
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
    discriminator = drawn(training, lambda: Projection(DCGAN(image_size, norm="none"), feature_shape))
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
    return drawn(training, lambda: Upsampling(feature_shape, image_size))
