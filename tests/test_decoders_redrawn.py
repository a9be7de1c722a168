"""The decoder that starts from the recoloured nearest public image."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

import featinv as fi


def small(count: int = 60) -> fi.Pairs:
    return fi.testing.synthetic_pairs(count, feature_shape=(16,), size=16)


@pytest.mark.parametrize("finest", [None, 8, 16])
def test_it_starts_as_the_recoloured_neighbour(finest: int | None) -> None:
    pairs = small()
    training = fi.Training(holdout=0, keep="last", mixed_precision="no")
    attack = fi.presets.redraw(pairs, finest=finest, training=training)
    control = fi.attacks.RecolouredNeighbour().fit(pairs)
    vectors = torch.from_numpy(small(80).features(np.arange(60, 80)))
    standardised = (vectors - control.tensors["mean"]) / control.tensors["scale"]
    drawn = attack.decoder.eval()(standardised)
    # The logit needs a margin of 0.01 at both ends.
    torch.testing.assert_close(drawn, control.reconstruct(vectors).clamp(0.01, 0.99), rtol=0, atol=1e-3)


def test_while_training_it_never_starts_from_the_image_itself() -> None:
    pairs = small()
    attack = fi.presets.redraw(pairs, training=fi.Training(holdout=0, keep="last", mixed_precision="no"))
    decoder, vectors = attack.decoder, attack.decoder.vectors
    own = pairs.images.batch(np.arange(60))
    decoder.requires_grad_(False)
    itself = (decoder.eval()(vectors) - own).square().mean((1, 2, 3))
    another = (decoder.train()(vectors) - own).square().mean((1, 2, 3))
    assert float(itself.max()) < float(another.median())


def test_it_learns_what_the_neighbour_does_not_show(tmp_path: Path) -> None:
    """Two halves: the neighbour shows the left one, the right one has stripes that only the vector tells."""
    dice = np.random.default_rng(0)
    kind, light = dice.integers(0, 4, 128), dice.random(128)
    vectors = np.concatenate([6 * np.eye(4)[kind], light[:, None]], 1).astype(np.float32)
    pattern = dice.random((4, 16, 16, 3))
    pixels = pattern[kind]
    stripes = np.tile([1, 1, -1, -1], 2)[:, None]  # even cells: recolouring cannot make them
    pixels[:, :, 8:] = 0.5 + (light - 0.5)[:, None, None, None] * stripes
    images = fi.data.ImageSet((pixels * 255).astype(np.uint8), ids=[str(k) for k in range(128)], provenance={})
    pairs = fi.Pairs(vectors, images)
    public = pairs.take(range(96))
    made = fi.presets.redraw(public).decoder
    decoder = fi.decoders.RedrawnNeighbour(5, 16, 96, width=8, code=32, dropout=0, finest=16)
    sketch, colours = ((ridge.weight, ridge.bias) for ridge in (made.sketch, made.colours))
    decoder.set_public(made.vectors, public.images.batch(range(96)), sketch=sketch, colours=colours)
    training = fi.Training(images=2_560, batch_size=32, lr=7e-3, holdout=0, ema=0.9, mixed_precision="no")
    attack = fi.attacks.DecoderAttack(decoder, fi.losses.MSE(), training)
    held_out = pairs.take(range(96, 128))
    asked, truth = torch.from_numpy(held_out.features(range(32))), held_out.images.batch(range(32))
    start = fi.attacks.RecolouredNeighbour().fit(public).reconstruct(asked)
    attack.fit(public, progress=False)
    drawn = attack.reconstruct(asked)
    assert float((drawn - truth).square().mean()) < 0.6 * float((start - truth).square().mean())
    fi.attacks.save_attack(attack, tmp_path / "a")
    assert torch.equal(fi.attacks.load_attack(tmp_path / "a").reconstruct(asked), drawn)


def test_the_change_is_no_finer_than_asked() -> None:
    decoder = fi.decoders.RedrawnNeighbour(6, 32, 20, width=8, code=8, finest=8)
    torch.nn.init.normal_(decoder.head[2].weight, std=0.02)
    decoder.requires_grad_(False)
    decoder.pixels.fill_(128)
    decoder.colours.bias.fill_(0.5)
    drawn = torch.logit(decoder.eval()(torch.randn(3, 6)))
    coarse = F.interpolate(drawn, size=(8, 8), mode="area")
    again = F.interpolate(coarse, size=32, mode="bilinear", align_corners=False)
    middle = (slice(None), slice(None), slice(4, 28), slice(4, 28))
    assert float(drawn.std()) > 0.01
    # Bilinear pixels averaged over their cells are smoother still: what is left over is a part, never a texture.
    assert float((drawn - again)[middle].square().mean()) < 0.2 * float(drawn[middle].var())


def test_bad_input_is_one_line() -> None:
    with pytest.raises(fi.BadInput, match="2 k \\+ 1 public images, got k = 3 and 6"):
        fi.decoders.RedrawnNeighbour(6, 32, 6)
    with pytest.raises(fi.BadInput, match="expected k to be a whole number of at least 1, got 0"):
        fi.decoders.RedrawnNeighbour(6, 32, 20, k=0)
    with pytest.raises(fi.BadInput, match="pool the maps first"):
        fi.decoders.RedrawnNeighbour((4, 2, 2), 32, 40)
    with pytest.raises(fi.BadInput, match="expected finest to be from 8 to 32, got 64"):
        fi.decoders.RedrawnNeighbour(6, 32, 40, finest=64)
    with pytest.raises(fi.BadInput, match="dropout"):
        fi.decoders.RedrawnNeighbour(6, 32, 40, dropout=1)
    with pytest.raises(fi.BadInput, match="a power of two from 16"):
        fi.decoders.RedrawnNeighbour(6, 8, 40)
    decoder = fi.decoders.RedrawnNeighbour(6, 16, 40)
    nothing = (torch.zeros(6, 768), torch.zeros(768)), (torch.zeros(6, 48), torch.zeros(48))
    with pytest.raises(fi.BadInput, match="expected 40 vectors and images, got 39 and 39"):
        decoder.set_public(torch.zeros(39, 6), torch.zeros(39, 3, 16, 16), sketch=nothing[0], colours=nothing[1])
