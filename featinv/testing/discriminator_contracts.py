"""The contracts of discriminators: images (, features) -> logits, a network that learns against a decoder."""

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
    pixels out of [0, 1]; different images have different logits; in eval mode a logit is the same twice, and what its
    batch mates do to it in train mode is what `batch_statistics` says; gradients reach every image and, after
    freezing and unfreezing, every parameter that had one; images of another size raise BadInput. A conditional one
    takes vectors (B, *feature_shape), depends on them, and raises BadInput without them. A copy is tried.
    """
    name = label(discriminator)
    demand(isinstance(discriminator, Discriminator), f"{name} must subclass featinv.discriminators.Discriminator")
    with seeded(0):
        tried = copy.deepcopy(discriminator)
        images, features = synthetic_images(4, size=tried.image_size), torch.randn(4, *feature_shape)
        _check_learning(tried.train(), images, features, name)
        _check_batch_mates(tried, images, features, name)
        _check_logits(tried.eval(), images, features, name)
        _check_refusals(tried, images, features, name)


def _check_learning(discriminator: Discriminator, images: Tensor, features: Tensor, name: str) -> None:
    learning = [key for key, parameter in discriminator.named_parameters() if parameter.requires_grad]
    demand(bool(learning), f"{name} must have parameters that learn")
    discriminator.requires_grad_(False)
    demand_gradient(lambda batch: discriminator(batch, features), images, f"{name}, frozen,")
    discriminator.requires_grad_(True)
    logits = discriminator(images, features)
    (logits * torch.randn_like(logits)).sum().backward()
    for key, parameter in discriminator.named_parameters():
        reached = parameter.grad is not None and bool(parameter.grad.isfinite().all())
        demand(reached, f"{name}: no finite gradient reaches the parameter {key}; use it, or hold what is frozen apart")
        demand(key in learning, f"{name}: {key} was frozen, and unfreezing the rest unfroze it; hold it apart")


@torch.no_grad()
def _check_batch_mates(discriminator: Discriminator, images: Tensor, features: Tensor, name: str) -> None:
    if any("parametrizations" in key for key in discriminator.state_dict()):
        return  # a spectral norm moves its estimate in every pass of train mode
    alone = torch.cat([discriminator(images[[row]], features[[row]]) for row in range(len(images))])
    apart = not torch.allclose(discriminator(images, features), alone, atol=1e-5)
    demand(
        apart == discriminator.batch_statistics,
        f"{name}.batch_statistics is {discriminator.batch_statistics}, but in train mode a logit "
        f"{'depends' if apart else 'does not depend'} on its batch mates",
    )


@torch.no_grad()
def _check_logits(discriminator: Discriminator, images: Tensor, features: Tensor, name: str) -> None:
    for what, batch in (("images", images), ("augmented images", 2 * images - 0.5)):
        logits = discriminator(batch, features)
        good = logits.shape[:1] == (len(images),) and bool(logits.isfinite().all())
        demand(good, f"{name} must give {what} (B, 3, S, S) finite logits (B, ...), got {tuple(logits.shape)}")
    logits = discriminator(images, features)
    demand(not torch.equal(logits[0], logits[1]), f"{name} must give different images different logits")
    demand_same(discriminator(images, features), logits, f"{name} in eval mode must be the same twice", 0.0)
    demand_untouched(lambda batch: discriminator(batch, features), images, name)
    same = features[:1].expand_as(features)
    demand_independent(lambda batch: discriminator(batch, same[: len(batch)]), images, f"{name} in eval mode")
    follows = not torch.equal(discriminator(images, features.flip(0)), logits)
    demand(
        follows == discriminator.conditional,
        f"{name}.conditional is {discriminator.conditional}, but its logits "
        f"{'depend' if follows else 'do not depend'} on the vectors",
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
