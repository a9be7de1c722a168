"""How often a decoder copies what it is shown: decoders whose answer is known."""

import numpy as np
import pytest
import torch
from torch import Tensor

import featinv as fi

SIZE, PUBLIC, K = 8, 40, 3


def attack(monkeypatch: pytest.MonkeyPatch, made: str) -> fi.attacks.DecoderAttack:
    pairs = fi.testing.synthetic_pairs(PUBLIC, feature_shape=(6,), size=SIZE)
    training = fi.Training(images=8, batch_size=8, holdout=0, keep="last", mixed_precision="no")
    fitted = fi.presets.retrieval(pairs, training=training, k=K).fit(pairs, progress=False)
    decoder = dict(fitted.network.named_children())["decoder"]
    images = torch.rand(PUBLIC, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
    decoder.set_public(decoder.vectors, images)

    def drawn(features: Tensor, shown: Tensor) -> Tensor:
        if made == "copies":
            return shown[:, :3] + 0.5
        # Right for the vector, whatever is shown.
        return decoder.thumbnails[decoder.neighbours(features)[:, 1]].float() / 255

    monkeypatch.setattr(decoder, "_drawn", drawn)
    return fitted


def far_apart(fitted: fi.attacks.DecoderAttack) -> Tensor:
    """Vectors of which no two that follow one another, nor the last and the first, share a neighbour."""
    layers = dict(fitted.network.named_children())
    vectors = torch.randn(400, 6, generator=torch.Generator().manual_seed(1))
    near = [set(rows) for rows in layers["decoder"].neighbours(layers["standardise"](vectors)).tolist()]
    chosen = [0]
    for row in range(1, len(vectors)):
        if not near[row] & near[chosen[-1]] and not near[row] & near[0] and len(chosen) < 12:
            chosen.append(row)
    return vectors[chosen]


def test_a_decoder_that_copies_does_so_with_any_images(monkeypatch: pytest.MonkeyPatch) -> None:
    fitted = attack(monkeypatch, "copies")
    rate = fi.evaluation.copy_rate(fitted, far_apart(fitted))
    assert (rate.own.mean, rate.unshown.mean, rate.mismatched.mean) == (1, 0, 1)
    assert rate.own.chance == K / PUBLIC


def test_a_decoder_that_is_right_without_looking_is_not_taken_for_one_that_copies(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fitted = attack(monkeypatch, "right")
    rate = fi.evaluation.copy_rate(fitted, far_apart(fitted))
    assert (rate.own.mean, rate.unshown.mean, rate.mismatched.mean) == (1, 1, 0)
    assert "another vector's images shown: 0.0 %" in str(rate)


def test_bad_input_is_one_line() -> None:
    pairs = fi.testing.synthetic_pairs(PUBLIC, feature_shape=(6,), size=SIZE)
    vectors = torch.from_numpy(pairs.features(np.arange(4)))
    training = fi.Training(images=8, batch_size=8, holdout=0, keep="last", mixed_precision="no")
    decoder = fi.decoders.Upsampling((6,), SIZE, width=8, channels=2)
    plain = fi.attacks.DecoderAttack(decoder, fi.losses.MSE(), training)
    with pytest.raises(fi.BadInput, match="expected a fitted DecoderAttack"):
        fi.evaluation.copy_rate(plain, vectors)
    plain.fit(pairs, progress=False)
    with pytest.raises(fi.BadInput, match="got Upsampling; it copies none"):
        fi.evaluation.copy_rate(plain, vectors)
    with pytest.raises(fi.BadInput, match="at least 2 vectors"):
        fi.evaluation.copy_rate(
            fi.presets.retrieval(pairs, training=training, k=K).fit(pairs, progress=False), vectors[:1]
        )
