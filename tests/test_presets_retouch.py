"""The recoloured neighbour, retouched through robust copies of the victim or through a bank."""

from typing import Any

import pytest
import torch

import featinv as fi
from featinv import presets
from featinv.training import ClassifierTraining, robust_copy

QUICK = ClassifierTraining(epochs=1, batch_size=16, mixed_precision="no")


@pytest.fixture(scope="module")
def pairs() -> fi.Pairs:
    return fi.extract(fi.Victim(fi.encoders.tiny()), fi.data.scenes(64, size=32, seed=3))


def test_with_an_encoder_it_looks_through_two_copies_and_needs_no_labels(pairs: fi.Pairs) -> None:
    encoder = fi.encoders.tiny()
    attack = presets.retouch(pairs, encoder=encoder, distillation=QUICK, steps=3).fit(pairs)
    assert [member.name for member in attack.surrogates] == ["copy_small_ball", "copy_large_ball"]
    assert attack.settings.drawn == 1
    assert encoder.weights_fingerprint not in attack.excluded_judges
    assert len(attack.excluded_judges) == 2
    vectors = torch.from_numpy(pairs.features([0, 1, 2]))
    made, start = attack.reconstruct(vectors), attack.attack.reconstruct(vectors)
    assert made.shape == (3, 3, 32, 32)
    assert float((made - start).abs().max()) > 0.001


def test_without_one_it_looks_through_the_bank(pairs: fi.Pairs, monkeypatch: pytest.MonkeyPatch) -> None:
    copied, _ = robust_copy(fi.encoders.tiny(), pairs, QUICK, ball=None)

    def bank(given: Any, distillation: Any) -> tuple[fi.encoders.Encoder, ...]:
        assert given is pairs
        assert distillation is QUICK
        return (copied,)

    monkeypatch.setattr("featinv.presets.retouching.train_bank", bank)
    assert presets.retouch(pairs, distillation=QUICK).surrogates == (copied,)
    assert presets.retouch(pairs, surrogates=[copied]).surrogates == (copied,)


def test_bad_input_is_one_line(pairs: fi.Pairs) -> None:
    with pytest.raises(fi.BadInput, match="at least one surrogate"):
        presets.retouch(pairs, surrogates=[])
    with pytest.raises(fi.BadInput, match=r"give victim\.encoder"):
        presets.retouch(pairs, encoder=fi.encoders.tiny(layer="stages.2"))
    other = fi.extract(fi.Victim(fi.encoders.tiny(layer="stages.2")), fi.data.scenes(16, size=32))
    foreign, _ = robust_copy(fi.encoders.tiny(), pairs, QUICK, ball=None)
    with pytest.raises(fi.BadInput, match="was distilled from victim"):
        presets.retouch(other, surrogates=[foreign])
