"""The decoder that is shown the nearest public images."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

import featinv as fi


def filled(count: int = 40, **options: Any) -> tuple[fi.decoders.RetrievalUpsampling, Tensor, Tensor]:
    dice = torch.Generator().manual_seed(0)
    vectors, images = torch.randn(count, 6, generator=dice), torch.rand(count, 3, 32, 32, generator=dice)
    torch.manual_seed(0)
    decoder = fi.decoders.RetrievalUpsampling(6, 32, count, width=16, channels=4, **options)
    decoder.set_public(vectors, images)
    return decoder, vectors, images


def test_the_neighbours_are_the_nearest_and_while_training_never_the_image_itself() -> None:
    decoder, vectors, _ = filled(k=3)
    distances = (vectors[:, None] - vectors).norm(dim=2)
    decoder.eval()
    expected = distances.sort(dim=1).indices[:, :3]
    assert torch.equal(decoder.neighbours(vectors), expected)
    decoder.train()
    drawn = torch.stack([decoder.neighbours(vectors) for _ in range(200)])
    own = torch.arange(40)[None, :, None]
    assert not bool((drawn == own).any())
    # k of the 2 k nearest others, each as often as another.
    others = distances.sort(dim=1).indices[:, 1:7]
    for row in range(40):
        counts = torch.bincount(drawn[:, row].flatten(), minlength=40)
        assert set(counts.nonzero().flatten().tolist()) == set(others[row].tolist())
        assert int(counts.sum()) == 600
        assert int(counts[others[row]].min()) > 60


def test_near_duplicates_are_left_out_while_training() -> None:
    decoder, vectors, images = filled(k=2)
    twins = vectors.clone()
    twins[1:4] = vectors[0] * torch.tensor([[1.0], [1.0001], [0.9999]])
    decoder.set_public(twins, images)
    decoder.train()
    drawn = torch.stack([decoder.neighbours(twins[:1]) for _ in range(50)])
    assert not bool((drawn < 4).any())


def test_it_starts_as_the_decoder_of_the_vector_alone() -> None:
    decoder, vectors, _ = filled()
    decoder.eval()
    alone = F.interpolate(decoder.inner(vectors), size=32, mode="bilinear", align_corners=False)
    torch.testing.assert_close(decoder(vectors), alone, rtol=0, atol=2e-3)


def test_it_learns_to_copy_where_copying_pays_and_needs_its_own_neighbours_for_that() -> None:
    """Images that the vector orders but does not determine: each equals its neighbours, which the bank shows."""
    dice = torch.Generator().manual_seed(1)
    vectors = torch.randn(12, 6, generator=dice).repeat_interleave(8, 0) + 0.05 * torch.randn(96, 6, generator=dice)
    images = torch.rand(12, 3, 4, 4, generator=dice).repeat_interleave(8, 0)
    images = F.interpolate(images, size=16)
    torch.manual_seed(0)
    decoder = fi.decoders.RetrievalUpsampling(6, 16, 96, k=2, width=8, channels=4, dropped=0)
    decoder.set_public(vectors, images)
    decoder.inner.requires_grad_(False)
    decoder.train()
    optimiser = torch.optim.Adam(decoder.correct.parameters(), lr=1e-2)
    for _ in range(150):
        optimiser.zero_grad()
        loss = (decoder(vectors) - images).square().mean()
        loss.backward()
        optimiser.step()
    decoder.eval()
    right = float((decoder(vectors) - images).square().mean().detach())
    decoder.mismatched = True
    wrong = float((decoder(vectors) - images).square().mean().detach())
    assert right < 0.03
    assert wrong > 2 * right


def test_the_preset_fills_the_bank_with_what_it_trains_on_and_its_attack_is_saved(tmp_path: Path) -> None:
    pairs = fi.testing.synthetic_pairs(60, feature_shape=(16,), size=16)
    training = fi.Training(images=64, batch_size=16, holdout=10, mixed_precision="no")
    attack = fi.presets.retrieval(pairs, training=training, k=3)
    assert attack.decoder.public == 50
    vectors = torch.from_numpy(pairs.features(range(60)))
    standardised = (vectors - vectors.mean(0)) / vectors.std(0)
    # Each row of the bank is a pair's, up to which pairs the statistics are of.
    assert float(torch.cdist(attack.decoder.vectors, standardised).min(1).values.max()) < 0.6
    attack.fit(pairs, progress=False)
    fi.attacks.save_attack(attack, tmp_path / "a")
    again = fi.attacks.load_attack(tmp_path / "a")
    assert torch.equal(again.reconstruct(vectors[:5]), attack.reconstruct(vectors[:5]))
    control = fi.presets.retrieval(pairs, training=training, mismatched=True).decoder
    assert control.mismatched
    with pytest.raises(fi.BadInput, match="lower k"):
        fi.presets.retrieval(pairs, training=training, k=30)


def test_bad_input_is_one_line() -> None:
    with pytest.raises(fi.BadInput, match=r"2 k \+ 1 public images, got k = 4 and 8"):
        fi.decoders.RetrievalUpsampling(6, 32, 8)
    with pytest.raises(fi.BadInput, match="got k = 0"):
        fi.decoders.RetrievalUpsampling(6, 32, 8, k=0)
    with pytest.raises(fi.BadInput, match="pool the maps first"):
        fi.decoders.RetrievalUpsampling((4, 2, 2), 32, 40)
    with pytest.raises(fi.BadInput, match="dropped"):
        fi.decoders.RetrievalUpsampling(6, 32, 40, dropped=1)
    decoder, vectors, images = filled()
    with pytest.raises(fi.BadInput, match="expected 40 vectors and images, got 39 and 39"):
        decoder.set_public(vectors[1:], images[1:])
