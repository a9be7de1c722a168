"""What robust surrogates of several families are made of: networks, images inside a ball, classes as targets."""

import math

import numpy as np
import pytest
import torch
from test_surrogate import colour_pairs, quick
from torch import Tensor, nn
from torch.nn import functional as F

import featinv as fi
from featinv.encoders.networks import SmallConvNeXt, SmallResNet, SmallViT
from featinv.training import Ball, train_surrogate
from featinv.training.augmentation import mix_in_pairs
from featinv.training.robust import moved


def reference_block(block: nn.Module, width: int, heads: int) -> nn.TransformerEncoderLayer:
    """torch's own pre-norm transformer layer with the weights of one of ours."""
    layer = nn.TransformerEncoderLayer(width, heads, 2 * width, 0.0, "gelu", batch_first=True, norm_first=True)
    ours = block.state_dict()
    names = {
        "norm1": "norm1",
        "norm2": "norm2",
        "out": "self_attn.out_proj",
        "mlp.0": "linear1",
        "mlp.2": "linear2",
    }
    state = {f"{new}.{part}": ours[f"{old}.{part}"] for old, new in names.items() for part in ("weight", "bias")}
    state |= {f"self_attn.in_proj_{part}": ours[f"qkv.{part}"] for part in ("weight", "bias")}
    layer.load_state_dict(state)
    return layer.eval()


def test_the_blocks_of_the_vit_are_torchs_own_transformer_layers() -> None:
    torch.manual_seed(0)
    network = SmallViT(5, side=8, patch=2, width=12, depth=2, attention_heads=3).eval()
    x = torch.randn(3, 3, 8, 8)
    tokens = torch.stack([network.patches(x)[:, :, i // 4, i % 4] for i in range(16)], dim=1) + network.positions
    for block in network.blocks:
        tokens = reference_block(block, 12, 3)(tokens)
    tokens = network.pool.norm(tokens)
    weights = torch.softmax(tokens @ network.pool.score.weight[0] + network.pool.score.bias, dim=1)
    expected = network.linear(torch.einsum("bt,btw->bw", weights, tokens))
    torch.testing.assert_close(network(x), expected, rtol=1e-4, atol=1e-5)


def test_the_convnext_written_out() -> None:
    torch.manual_seed(0)
    network = SmallConvNeXt(5, widths=(4, 6), blocks=(1, 1), kernel=5, expansion=3).eval()
    state = network.state_dict()
    x = torch.randn(2, 3, 16, 16)

    def convolved(x: Tensor, name: str, **options: int) -> Tensor:
        return F.conv2d(x, state[f"{name}.weight"], state.get(f"{name}.bias"), **options)

    def block(x: Tensor, name: str) -> Tensor:
        width = x.shape[1]
        y = convolved(x, f"{name}.depthwise", padding=2, groups=width) / math.sqrt(1 + 1e-5)
        return x + convolved(F.gelu(convolved(y, f"{name}.wide")), f"{name}.narrow")

    # Fresh batch normalisation divides by sqrt(1 + eps) alone.
    y = block(convolved(x, "patches.0", stride=2) / math.sqrt(1 + 1e-5), "stages.0.0")
    y = block(convolved(y, "stages.1.0", stride=2) / math.sqrt(1 + 1e-5), "stages.1.2")
    expected = y.mean((2, 3)) @ state["linear.weight"].T + state["linear.bias"]
    torch.testing.assert_close(network(x), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "make",
    [
        lambda: SmallConvNeXt(3, widths=(4,), blocks=(1,), kernel=4),
        lambda: SmallConvNeXt(3, widths=(4,), blocks=(1, 1)),
        lambda: SmallConvNeXt(3, expansion=0),
        lambda: SmallConvNeXt(3, patch=0),
        lambda: SmallViT(3, side=10, patch=4),
        lambda: SmallViT(3, width=10, attention_heads=4),
        lambda: SmallViT(3, depth=0),
    ],
)
def test_sizes_that_make_no_network_are_refused(make: object) -> None:
    with pytest.raises(fi.BadInput, match="expected"):
        make()  # type: ignore[operator]


@pytest.mark.parametrize("steps", [1, 3, 20])
def test_images_move_inside_the_ball_to_where_a_linear_error_is_largest(steps: int) -> None:
    """Of <g, x> the largest value in a ball of radius r around x is <g, x> + r |g|."""
    dice = torch.Generator().manual_seed(0)
    images, slope = torch.rand(4, 3, 16, 16, generator=dice), torch.randn(3, 16, 16, generator=dice)
    ball = Ball(radius=0.5, steps=steps)
    result = moved(images, lambda x: (x * slope).sum((1, 2, 3)), ball, dice)
    change = (result - images).flatten(1)
    radius = 0.25  # 16 px is half of the side that a radius is stated for
    assert bool((change.norm(dim=1) <= radius * (1 + 1e-5)).all())
    gain = change @ slope.flatten()
    best = radius * slope.norm()
    assert bool((gain > (0.99 if steps == 20 else 0.75) * best).all())
    assert not result.requires_grad


@pytest.mark.parametrize("radius", [0, -1, math.nan, math.inf])
def test_a_ball_of_no_radius_is_refused(radius: float) -> None:
    with pytest.raises(fi.BadInput, match=r"ball\.radius"):
        Ball(radius=radius)


def test_a_ball_without_steps_or_share_is_refused() -> None:
    with pytest.raises(fi.BadInput, match=r"ball\.steps"):
        Ball(steps=0)
    with pytest.raises(fi.BadInput, match=r"ball\.share"):
        Ball(share=0)


def test_a_robust_surrogate_errs_less_on_moved_images() -> None:
    pairs = colour_pairs()
    vectors, images = pairs.batch(np.arange(60))
    wanted = (vectors - vectors.mean(0)) / vectors.std(0)

    def excess(ball: Ball | None) -> float:
        surrogate, _ = train_surrogate(pairs, quick(), widths=(8, 12), blocks=(1, 1), ball=ball)

        def errors(x: Tensor) -> Tensor:
            return (surrogate.network((x - 0.5) / 0.25) - wanted).square().mean(1)

        worse = moved(images, errors, Ball(radius=2, steps=5), torch.Generator().manual_seed(0))
        with torch.no_grad():
            return float((errors(worse) - errors(images)).mean())

    assert excess(Ball(radius=2, share=1)) < excess(None)


def test_classes_take_the_place_of_the_vectors() -> None:
    """Whether an image's left half is the redder one is easily read off it, in any family."""
    pairs = colour_pairs()
    vectors = pairs.features(np.arange(len(pairs)))
    classes = (vectors[:, 0] > 0.5).astype(np.int64)
    surrogate, history = train_surrogate(
        pairs,
        quick(epochs=12, flips=False),
        make=lambda count: SmallResNet(count, widths=(8, 12), blocks=(1, 1), standardise=True),
        classes=classes,
    )
    assert history[-1]["accuracy"] > 0.7
    assert surrogate.feature_shape == (12,)
    for wrong in (classes[1:], classes.astype(np.float32), np.zeros_like(classes), classes - 1):
        with pytest.raises(fi.BadInput, match=r"classes: expected one whole number from 0 for each of the 240 pairs"):
            train_surrogate(pairs, quick(), classes=wrong)


@pytest.mark.parametrize(
    "make",
    [
        lambda count: SmallConvNeXt(count, widths=(4, 6), blocks=(1, 1), standardise=True),
        lambda count: SmallViT(count, side=12, patch=4, width=8, depth=1, standardise=True),
    ],
)
def test_other_families_are_distilled_and_go_through_a_file(make: object, tmp_path: object) -> None:
    surrogate, history = train_surrogate(colour_pairs(60), quick(epochs=1), make=make)  # type: ignore[arg-type]
    assert math.isfinite(history[-1]["explained"])
    fi.encoders.save_encoder(surrogate, tmp_path / "s.safetensors")  # type: ignore[operator]
    read = fi.encoders.saved(tmp_path / "s.safetensors", layer="norm")  # type: ignore[operator]
    images = torch.rand(2, 3, 12, 12)
    assert torch.equal(read(images), surrogate(images))


@pytest.mark.parametrize("seed", range(6))
def test_mixed_targets_are_the_shares_of_the_pixels(seed: int) -> None:
    """Of images that are grey by class, the mean of a mixture is that of its classes by their shares."""
    torch.manual_seed(seed)
    classes = torch.randint(0, 5, (12,))
    greys = torch.linspace(0, 1, 5)
    mixed, shares = mix_in_pairs(greys[classes][:, None, None, None].expand(12, 3, 8, 8).clone(), classes, 5)
    torch.testing.assert_close(shares.sum(1), torch.ones(12))
    torch.testing.assert_close(mixed.mean((1, 2, 3)), shares @ greys)
    assert bool((mixed.mean((1, 2, 3)) != greys[classes]).any())


def test_a_classifier_learns_from_mixed_images() -> None:
    pairs = colour_pairs()
    classes = (pairs.batch(np.arange(len(pairs)))[1].mean((2, 3)).argmax(1)).numpy()
    settings = quick()

    def accuracy(mix: float) -> float:
        _, history = train_surrogate(pairs, settings, widths=(8, 12), blocks=(1, 1), classes=classes, mix=mix)
        return history[-1]["accuracy"]

    assert accuracy(0.5) > 1.2 * np.bincount(classes).max() / len(classes)


@pytest.mark.parametrize("mix", [-0.1, 1.5, True, 0.5])
def test_a_mix_that_is_no_share_or_has_no_classes_is_refused(mix: float) -> None:
    classes = None if mix == 0.5 else np.arange(len(colour_pairs())) % 2
    with pytest.raises(fi.BadInput, match="mix: expected a share"):
        train_surrogate(colour_pairs(), quick(), classes=classes, mix=mix)
