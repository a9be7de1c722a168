"""How to make one of every export, so that the contract tests can walk over the export lists.

An export without an entry fails its test: add a line here when you export something.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

import featinv as fi
from featinv import testing


@dataclass(frozen=True)
class Elsewhere:
    """An export that is no arrow of its group, or is abstract: the test file that tests it, and through which name."""

    file: str
    through: str = ""


def attack(
    make: Callable[[Any], Any], *, shape: tuple[int, ...] = (16,), size: int = 32, count: int = 48
) -> Callable[[], None]:
    """Check the attack that `make` builds for synthetic pairs of this number, feature shape and image size."""

    def check() -> None:
        pairs = testing.synthetic_pairs(count, feature_shape=shape, size=size)
        testing.check_attack(make(pairs), pairs=pairs)

    return check


def attack_on_scenes(make: Callable[[Any], Any]) -> Callable[[], None]:
    """Check the attack that `make` builds for an encoder, on pairs of that encoder."""

    def check() -> None:
        encoder = fi.encoders.tiny()
        testing.check_attack(make(encoder), pairs=fi.extract(fi.Victim(encoder), fi.data.scenes(24, size=32, seed=9)))

    return check


def refined_attack(encoder: Any) -> Any:
    torch.manual_seed(0)
    other = fi.encoders.wrap(
        fi.encoders.networks.SmallResNet(10, widths=(8, 8), blocks=(1, 1)),
        name="other",
        family="surrogate",
        layer="avgpool",
        input_size=32,
    )
    training = fi.Training(images=96, batch_size=16, holdout=0)
    inner = fi.attacks.DecoderAttack(fi.decoders.Upsampling(64, 32, width=16, channels=0), fi.losses.MSE(), training)
    return fi.attacks.Refined(inner, [encoder], other, steps=6)


def decoder_attack(pairs: Any) -> Any:
    training = fi.Training(images=96, batch_size=16, holdout=8)
    decoder = fi.decoders.Listik(pairs.feature_shape, pairs.image_size)
    return fi.attacks.DecoderAttack(decoder, fi.losses.MSE(), training)


def adversarial_attack(pairs: Any) -> Any:
    training = fi.Training(images=96, batch_size=16, holdout=8)
    decoder = fi.decoders.Upsampling(pairs.feature_shape, pairs.image_size, width=32, channels=4)
    discriminator = fi.discriminators.Projection(fi.discriminators.DCGAN(32, width=4), pairs.feature_shape)
    adversary = fi.Adversary(
        discriminator, adversarial_start=0, decoder_every=2, augment=fi.discriminators.DiffAugment()
    )
    return fi.attacks.DecoderAttack(decoder, fi.losses.MSE(), training, adversary=adversary)


SPATIAL = (4, 3, 3)

ATTACKS: dict[str, Elsewhere | list[Callable[[], None]]] = {
    "Aligned": [
        attack(lambda pairs: fi.attacks.Aligned(fi.attacks.Ridge().fit(pairs)), count=80),
        attack(lambda pairs: fi.attacks.Aligned(fi.attacks.MeanImage().fit(pairs)), shape=SPATIAL, count=80, size=8),
    ],
    "DecoderAttack": [attack(decoder_attack, size=8), attack(adversarial_attack)],
    "Denoised": [
        attack(lambda pairs: fi.attacks.Denoised(fi.attacks.Ridge().fit(pairs), pairs)),
        attack(lambda pairs: fi.attacks.Denoised(fi.attacks.NeighbourAverage(k=3).fit(pairs), pairs), shape=SPATIAL),
    ],
    "Ensemble": [
        attack(lambda _: fi.attacks.Ensemble([fi.attacks.Ridge(), fi.attacks.NeighbourAverage(k=3)])),
        attack(
            lambda _: fi.attacks.Ensemble([fi.attacks.MeanImage(), fi.attacks.Ridge(penalty=1)], contrast=True),
            shape=SPATIAL,
        ),
    ],
    "FlowAttack": [
        attack(
            lambda _: fi.attacks.FlowAttack(
                (8, 16), blocks=1, steps=2, draws=3, training=fi.Training(images=48, batch_size=16, holdout=8)
            ),
            size=8,
        )
    ],
    "MeanImage": [attack(lambda _: fi.attacks.MeanImage())],
    "NearestNeighbour": [attack(lambda _: fi.attacks.NearestNeighbour())],
    "NeighbourAverage": [attack(lambda _: fi.attacks.NeighbourAverage(k=3))],
    "OptimisationAttack": [attack_on_scenes(lambda encoder: fi.attacks.OptimisationAttack(encoder, steps=3))],
    "PredictedClassMean": [attack(lambda _: fi.attacks.PredictedClassMean())],
    # It holds a generator of the user's, and cannot be saved.
    "PriorAttack": Elsewhere("test_prior_attack.py"),
    "RandomFourier": [attack(lambda _: fi.attacks.RandomFourier(count=40))],
    "RandomVector": [
        attack(lambda pairs: fi.attacks.RandomVector(fi.attacks.Ridge().fit(pairs))),
        attack(lambda pairs: fi.attacks.RandomVector(fi.attacks.Ridge().fit(pairs), source="matched"), shape=SPATIAL),
    ],
    "RecolouredNeighbour": [attack(lambda _: fi.attacks.RecolouredNeighbour())],
    "Refined": [attack_on_scenes(refined_attack)],
    "Retouched": [
        attack_on_scenes(lambda encoder: fi.attacks.Retouched(fi.attacks.RecolouredNeighbour(), [encoder], steps=3))
    ],
    "Ridge": [attack(lambda _: fi.attacks.Ridge()), attack(lambda _: fi.attacks.Ridge(penalty=1), shape=SPATIAL)],
    "load_attack": Elsewhere("test_save_attack.py"),
    "medoid": Elsewhere("test_sampling.py"),
    "sample_blocks": Elsewhere("test_sampling.py"),
    "save_attack": Elsewhere("test_save_attack.py"),
}

DECODERS: dict[str, Elsewhere | list[Callable[[], None]]] = {
    "Listik": [
        lambda: testing.check_decoder(fi.decoders.Listik(16, 32)),
        lambda: testing.check_decoder(fi.decoders.Listik((32,), 16, kernel=4, mix=True)),
    ],
    "RedrawnNeighbour": [
        lambda: testing.check_decoder(fi.decoders.RedrawnNeighbour(16, 32, 40, width=8, code=16)),
        lambda: testing.check_decoder(fi.decoders.RedrawnNeighbour(16, 16, 9, k=2, width=8, code=16, finest=16)),
    ],
    "RetrievalUpsampling": [
        lambda: testing.check_decoder(fi.decoders.RetrievalUpsampling(16, 32, 40, width=32, channels=4)),
        lambda: testing.check_decoder(fi.decoders.RetrievalUpsampling(16, 8, 9, k=2, width=32, channels=0)),
    ],
    "Upsampling": [
        lambda: testing.check_decoder(fi.decoders.Upsampling(16, 32, width=32, channels=4)),
        lambda: testing.check_decoder(fi.decoders.Upsampling((8, 4, 4), 16, width=32, channels=4)),
        lambda: testing.check_decoder(fi.decoders.Upsampling((8, 4, 4), 64, width=32, channels=4, finest=16)),
    ],
}


def defence(make: Callable[..., Any], zero: Callable[[], Any] | None = None) -> list[Callable[[], None]]:
    """Check the defence that `make` builds, fitted where it learns, on vectors and on spatial features."""

    def check(shape: tuple[int, ...]) -> None:
        public = testing.synthetic_pairs(count=96, feature_shape=shape, size=8)
        fitted = fi.defences.fit(make(), public)
        testing.check_defence(fitted, feature_shape=shape, zero_strength=None if zero is None else zero())

    return [lambda: check((16,)), lambda: check(SPATIAL)]


DEF = fi.defences

DEFENCES: dict[str, Elsewhere | list[Callable[[], None]]] = {
    "Clip": defence(lambda: DEF.Clip(1.5), DEF.Clip),
    "Codebook": defence(lambda: DEF.Codebook(3), DEF.Codebook),
    "Defence": Elsewhere("test_defences.py"),
    "GaussianNoise": defence(lambda: DEF.GaussianNoise(0.3), lambda: DEF.GaussianNoise(0)),
    "Identity": defence(DEF.Identity, DEF.Identity),
    "Laplace": defence(lambda: DEF.Laplace(0.3), lambda: DEF.Laplace(0)),
    "Learned": Elsewhere("test_defences.py"),
    "Microaggregate": defence(lambda: DEF.Microaggregate(3), DEF.Microaggregate),
    "PCA": [
        *defence(lambda: DEF.PCA(5), DEF.PCA),
        *defence(lambda: DEF.PCA(5, coordinates=True), DEF.PCA),
    ],
    "ProductCodes": defence(lambda: DEF.ProductCodes(3, 2), lambda: DEF.ProductCodes(3)),
    "RandomRotation": defence(lambda: DEF.RandomRotation("secret"), DEF.RandomRotation),
    "RemoveSubspace": defence(DEF.RemoveSubspace, lambda: DEF.RemoveSubspace(rank=0)),
    "ShapedNoise": defence(lambda: DEF.ShapedNoise(0.3, 1), lambda: DEF.ShapedNoise(0)),
    "Sign": defence(DEF.Sign),
    "TopK": defence(lambda: DEF.TopK(4), DEF.TopK),
    "Uniform": [*defence(lambda: DEF.Uniform(4), DEF.Uniform), *defence(lambda: DEF.Uniform(1, per="all"))],
    "fingerprint": Elsewhere("test_defences.py"),
    "fit": Elsewhere("test_defences.py"),
    "known_release": Elsewhere("test_defences_likelihood.py"),
    "least_batch": Elsewhere("test_defences.py"),
    "load": Elsewhere("test_defences_saved.py"),
    "log_likelihood": Elsewhere("test_defences_likelihood.py"),
    "parts": Elsewhere("test_defences.py"),
    "save": Elsewhere("test_defences_saved.py"),
    "whole_release": Elsewhere("test_defences.py"),
}


def tiny_features() -> torch.Tensor:
    return fi.losses.public_features(fi.encoders.tiny(), fi.data.scenes(32, size=32, seed=9))


def cifar_encoder() -> fi.encoders.Encoder:
    network = fi.encoders.networks.CifarResNet(8, 10)
    return fi.encoders.Encoder(network, name="n", family="resnet", layer="layer2", input_size=32)


GAN = fi.discriminators

DISCRIMINATORS: dict[str, Elsewhere | list[Callable[[], None]]] = {
    "DCGAN": [
        lambda: testing.check_discriminator(GAN.DCGAN(32, width=4)),
        lambda: testing.check_discriminator(GAN.DCGAN(64, width=4, norm="spectral")),
    ],
    "DiffAugment": Elsewhere("test_discriminators_augment.py"),
    "Discriminator": Elsewhere("test_discriminators.py"),
    "FrozenFeatures": [
        lambda: testing.check_discriminator(GAN.FrozenFeatures(cifar_encoder(), 32, layers=["layer1"], width=4)),
    ],
    "Patch": [
        lambda: testing.check_discriminator(GAN.Patch(32, layers=2, width=4)),
        lambda: testing.check_discriminator(GAN.Patch(64, layers=3, width=4, norm="none")),
    ],
    "Projection": [
        lambda: testing.check_discriminator(GAN.Projection(GAN.DCGAN(32, width=4, norm="none"), 16)),
        lambda: testing.check_discriminator(GAN.Projection(GAN.Patch(32, width=4), SPATIAL), feature_shape=SPATIAL),
    ],
}


def wrapped(images: Any) -> Any:
    return images.flatten(2).std(dim=2)


ENCODERS: dict[str, Elsewhere | list[Callable[[], None]]] = {
    "BlackBox": Elsewhere("test_encoders_black_box.py"),
    "Encoder": [
        lambda: testing.check_encoder(cifar_encoder()),
    ],
    "Judge": Elsewhere("test_encoders_files.py"),
    "black_box": Elsewhere("test_encoders_black_box.py"),
    "check_function": Elsewhere("test_encoders.py"),
    "cifar_judge": Elsewhere("test_encoders_files.py"),
    "cifar_resnet": Elsewhere("test_encoders_files.py"),
    "judge": [lambda: testing.check_judge(fi.encoders.judge("scenes-vgg"))],
    "networks": Elsewhere("test_encoders_networks.py"),
    "onnx": Elsewhere("test_encoders_onnx.py"),
    "open_clip": Elsewhere("test_encoders_by_name.py"),
    "save_encoder": Elsewhere("test_surrogate.py"),
    "save_judge": Elsewhere("test_encoders_files.py"),
    "saved": Elsewhere("test_surrogate.py"),
    "timm": [
        lambda: testing.check_encoder(fi.encoders.timm("test_resnet", weights=None)),
        lambda: testing.check_encoder(fi.encoders.timm("test_vit", weights=None, readout="grid")),
    ],
    "tiny": [lambda: testing.check_encoder(fi.encoders.tiny())],
    "torchvision": [
        lambda: testing.check_encoder(fi.encoders.torchvision("resnet18", layer="layer1", input_size=32)),
    ],
    "transformers": Elsewhere("test_encoders_by_name.py"),
    "wrap": [lambda: testing.check_encoder(fi.encoders.wrap(wrapped, name="n", family="std", input_size=16))],
}

LOSSES: dict[str, Elsewhere | list[Callable[[], None]]] = {
    "BCE": [lambda: testing.check_loss(fi.losses.BCE())],
    "Drawn": [lambda: testing.check_loss(fi.losses.Drawn([fi.losses.MSE(), fi.losses.L1()], 2))],
    "FeatureConsistency": [
        lambda: testing.check_loss(fi.losses.FeatureConsistency(cifar_encoder(), views=0)),
        lambda: testing.check_loss(fi.losses.FeatureConsistency(fi.encoders.tiny(), shift=0, colour=0, noise=0)),
    ],
    "Identification": [lambda: testing.check_loss(fi.losses.Identification(fi.encoders.tiny(), tiny_features()))],
    "L1": [lambda: testing.check_loss(fi.losses.L1())],
    "LPIPS": Elsewhere("test_losses_imagenet.py"),
    "MSE": [lambda: testing.check_loss(fi.losses.MSE())],
    "MSSSIM": [
        lambda: testing.check_loss(fi.losses.MSSSIM(scales=2)),
        lambda: testing.check_loss(fi.losses.MSSSIM(scales=3), size=64),
    ],
    "Perceptual": [
        lambda: testing.check_loss(fi.losses.Perceptual(fi.encoders.tiny())),
        lambda: testing.check_loss(fi.losses.Perceptual(cifar_encoder(), ["conv1", "layer2"], [0.2, 3])),
    ],
    "RandomViews": [
        lambda: testing.check_loss(fi.losses.RandomViews(fi.losses.MSE(), shift=0, colour=0, blur=0, noise=0)),
        lambda: testing.check_loss(fi.losses.RandomViews(fi.losses.L1(), shift=0, colour=0, blur=1, noise=0)),
    ],
    "SSIM": [lambda: testing.check_loss(fi.losses.SSIM())],
    "VGGFeatures": Elsewhere("test_losses_imagenet.py"),
    "WhitenedFeatures": [
        lambda: testing.check_loss(fi.losses.WhitenedFeatures(fi.encoders.tiny(), torch.eye(64))),
    ],
    "Objective": [lambda: testing.check_loss(fi.losses.MSE() + 0.5 * fi.losses.BCE() + 2 * fi.losses.L1())],
    "AdversarialLoss": Elsewhere("test_adversarial_losses.py"),
    "GradientPenalty": Elsewhere("test_adversarial_penalties.py"),
    "LeCam": Elsewhere("test_adversarial_lecam.py"),
    "Loss": Elsewhere("test_losses.py"),
    "Penalty": Elsewhere("test_adversarial_penalties.py"),
    "R1": Elsewhere("test_adversarial_penalties.py"),
    "R2": Elsewhere("test_adversarial_penalties.py"),
    "Term": Elsewhere("test_losses.py", through="terms"),
    "adaptive_weight": Elsewhere("test_adversarial_weight.py"),
    "bce_floor": Elsewhere("test_losses.py"),
    "hinge": Elsewhere("test_adversarial_losses.py"),
    "least_squares": Elsewhere("test_adversarial_losses.py"),
    "non_saturating": Elsewhere("test_adversarial_losses.py"),
    "public_features": Elsewhere("test_losses_identification.py"),
    "relativistic": Elsewhere("test_adversarial_losses.py"),
    "residual_whitener": Elsewhere("test_losses_identification.py"),
    "wasserstein": Elsewhere("test_adversarial_losses.py"),
}

METRICS: dict[str, Elsewhere | list[Callable[[], None]]] = {
    "Metric": Elsewhere("test_metric_objects.py"),
    "inception_features": Elsewhere("test_metric_objects.py"),
    # Their weights are nowhere in the project: the contract is checked where stand-ins for them are made.
    "dists": Elsewhere("test_metrics_perceptual.py", through="check_metric"),
    "lpips": Elsewhere("test_metrics_perceptual.py", through="check_metric"),
    "low_pass_psnr": [
        lambda: testing.check_metric(fi.metrics.low_pass_psnr, higher_is_better=True),
        lambda: testing.check_metric(fi.metrics.low_pass_psnr, higher_is_better=True, size=20),
    ],
    "ms_ssim": [lambda: testing.check_metric(fi.metrics.ms_ssim, higher_is_better=True, size=176)],
    "mse": [lambda: testing.check_metric(fi.metrics.mse, higher_is_better=False)],
    "psnr": [lambda: testing.check_metric(fi.metrics.psnr, higher_is_better=True)],
    "ssim": [lambda: testing.check_metric(fi.metrics.ssim, higher_is_better=True)],
    "checked_pair": Elsewhere("test_metrics.py", through="psnr"),
    "rounded": Elsewhere("test_metrics.py", through="psnr"),
}

GROUPS = {
    "attacks": ATTACKS,
    "decoders": DECODERS,
    "defences": DEFENCES,
    "discriminators": DISCRIMINATORS,
    "encoders": ENCODERS,
    "losses": LOSSES,
    "metrics": METRICS,
}
