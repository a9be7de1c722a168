"""The contracts of discriminators: images (, features) -> logits, trained against a decoder."""

import copy

import torch
from torch import Tensor

from featinv.discriminators import Discriminator
from featinv.errors import BadInput
from featinv.processes import seeded
from featinv.testing.contracts import demand, demand_gradient, demand_independent, demand_same, demand_untouched, label
from featinv.testing.synthetic import synthetic_images


def check_discriminator(discriminator: Discriminator, *, feature_shape: tuple[int, ...] = (16,)) -> None:
    """Raise AssertionError unless an adversarial attack can be trained against `discriminator`.

    It subclasses `Discriminator`; images (B, 3, S, S) give finite logits (B, ...), also where an augmentation moved
    pixels out of [0, 1]; different images have different logits; in eval mode a logit is equal in repeated calls;
    `batch_statistics` declares whether a logit depends on the rest of the batch in train mode; gradients reach every
    image and, after freezing and unfreezing, every parameter that had one; images of another size raise BadInput. A
    conditional discriminator takes vectors (B, *feature_shape), depends on them, and raises BadInput without them. The
    check uses a copy.
    """
    name = label(discriminator)
    demand(isinstance(discriminator, Discriminator), f"{name} must subclass featinv.discriminators.Discriminator")
    with seeded(0):
        network = copy.deepcopy(discriminator)
        images, features = synthetic_images(4, size=network.image_size), torch.randn(4, *feature_shape)
        _check_learning(network.train(), images, features, name)
        _check_batch_statistics(network, images, features, name)
        _check_logits(network.eval(), images, features, name)
        _check_refusals(network, images, features, name)


def _check_learning(discriminator: Discriminator, images: Tensor, features: Tensor, name: str) -> None:
    learning = [key for key, parameter in discriminator.named_parameters() if parameter.requires_grad]
    demand(bool(learning), f"{name} must have trainable parameters")
    discriminator.requires_grad_(False)
    demand_gradient(lambda batch: discriminator(batch, features), images, f"{name}, frozen,")
    discriminator.requires_grad_(True)
    logits = discriminator(images, features)
    (logits * torch.randn_like(logits)).sum().backward()
    for key, parameter in discriminator.named_parameters():
        reached = parameter.grad is not None and bool(parameter.grad.isfinite().all())
        demand(
            reached, f"{name}: no finite gradient reaches the parameter {key}; use it, or store frozen networks apart"
        )
        demand(key in learning, f"{name}: {key} was frozen, and requires_grad_(True) unfroze it; store it apart")


@torch.no_grad()
def _check_batch_statistics(discriminator: Discriminator, images: Tensor, features: Tensor, name: str) -> None:
    if any("parametrizations" in key for key in discriminator.state_dict()):
        return  # spectral norm updates its estimate in every pass in train mode
    alone = torch.cat([discriminator(images[[row]], features[[row]]) for row in range(len(images))])
    depends = not torch.allclose(discriminator(images, features), alone, atol=1e-5)
    demand(
        depends == discriminator.batch_statistics,
        f"{name}.batch_statistics is {discriminator.batch_statistics}, but in train mode a logit "
        f"{'depends' if depends else 'does not depend'} on the rest of the batch",
    )


@torch.no_grad()
def _check_logits(discriminator: Discriminator, images: Tensor, features: Tensor, name: str) -> None:
    for what, batch in (("images", images), ("augmented images", 2 * images - 0.5)):
        logits = discriminator(batch, features)
        valid = logits.shape[:1] == (len(images),) and bool(logits.isfinite().all())
        demand(valid, f"{name} must give {what} (B, 3, S, S) finite logits (B, ...), got {tuple(logits.shape)}")
    logits = discriminator(images, features)
    demand(not torch.equal(logits[0], logits[1]), f"{name} must give different logits for different images")
    demand_same(discriminator(images, features), logits, f"{name} in eval mode must be equal in repeated calls", 0.0)
    demand_untouched(lambda batch: discriminator(batch, features), images, name)
    same = features[:1].expand_as(features)
    demand_independent(lambda batch: discriminator(batch, same[: len(batch)]), images, f"{name} in eval mode")
    depends = not torch.equal(discriminator(images, features.flip(0)), logits)
    demand(
        depends == discriminator.conditional,
        f"{name}.conditional is {discriminator.conditional}, but its logits "
        f"{'depend' if depends else 'do not depend'} on the vectors",
    )


def _check_refusals(discriminator: Discriminator, images: Tensor, features: Tensor, name: str) -> None:
    double = torch.nn.functional.interpolate(images, scale_factor=2)
    demand(_refuses(discriminator, double, features), f"{name} must raise BadInput for images of another size")
    if discriminator.conditional:
        demand(_refuses(discriminator, images, None), f"{name} must raise BadInput without vectors")


def _refuses(discriminator: Discriminator, images: Tensor, features: Tensor | None) -> bool:
    try:
        discriminator(images, features)
    except BadInput:
        return True
    return False
