"""Looking at a network on the way: a snapshot is what a shorter training would have left."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from training_parts import make_decoder, make_pairs

from featinv import BadInput, Training
from featinv.attacks import DecoderAttack
from featinv.losses import MSE
from featinv.training import Checkpoints, Snapshots

# Nothing in these settings looks at the budget, so that a short training is the beginning of a long one.
SETTINGS = Training(images=240, batch_size=24, schedule="constant", warmup=0.0, ema=None, holdout=0)


def _fit(training: Training, snapshots: Snapshots | None = None, folder: Path | None = None) -> DecoderAttack:
    checkpoints = None if folder is None else Checkpoints(folder, every_images=24)
    attack = DecoderAttack(make_decoder(0.2), MSE(), training)
    return attack.fit(make_pairs(60), progress=False, checkpoints=checkpoints, snapshots=snapshots)


@pytest.mark.parametrize("standardise", [False, True])
def test_a_snapshot_is_what_a_shorter_training_leaves_and_changes_nothing(standardise: bool) -> None:
    settings = replace(SETTINGS, standardise=standardise)
    vectors = make_pairs(5, seed=1).batch([0, 1, 2])[0]
    seen: dict[int, torch.Tensor] = {}
    long = _fit(settings, Snapshots([100, 24, 240], lambda attack, at: seen.update({at: attack.reconstruct(vectors)})))
    assert list(seen) == [24, 100, 240]
    for images, shown in seen.items():  # 100 images are there with the fifth batch
        shorter = _fit(replace(settings, images=images))
        assert torch.equal(shown, shorter.reconstruct(vectors)), images
    assert torch.equal(long.reconstruct(vectors), _fit(settings).reconstruct(vectors))
    assert not torch.equal(seen[24], seen[240])


def test_a_snapshot_can_be_kept_and_does_not_learn_on() -> None:
    kept: list[DecoderAttack] = []
    vectors = make_pairs(5, seed=1).batch([0, 1])[0]
    first: list[torch.Tensor] = []

    def take(attack: DecoderAttack, images: int) -> None:
        kept.append(attack)
        first.append(attack.reconstruct(vectors))

    _fit(SETTINGS, Snapshots([24], take))
    assert torch.equal(kept[0].reconstruct(vectors), first[0])
    assert kept[0].victim == make_pairs(60).metadata


def test_after_an_interruption_each_is_taken_once(tmp_path: Path) -> None:
    taken: list[int] = []

    def failing(attack: DecoderAttack, images: int) -> None:
        taken.append(images)
        if images == 144:
            raise RuntimeError("the disk is full")

    with pytest.raises(RuntimeError):
        _fit(SETTINGS, Snapshots([48, 96, 144, 192], failing), tmp_path)
    assert taken == [48, 96, 144]
    _fit(SETTINGS, Snapshots([48, 96, 144, 192], lambda _, at: taken.append(at)), tmp_path)
    assert taken == [48, 96, 144, 144, 192], "that of 144 had failed, those before it had not"


def test_a_moment_before_the_first_image_is_refused() -> None:
    with pytest.raises(BadInput, match="at least 1, got 0"):
        Snapshots([0, 5], lambda *_: None)
