"""The attack through two surrogates: what its configuration says, few pairs, and refusals before the wait."""

import dataclasses
import inspect
from pathlib import Path
from typing import Any

import pytest
import torch
from recipe_modules import RECIPES, recipe

import featinv as fi
from featinv import presets
from featinv.command_line import parse
from featinv.training import ClassifierTraining

GOAL = RECIPES / "configs" / "cifar10_goal.yaml"
SURROGATE = RECIPES / "configs" / "cifar10_surrogate.yaml"


@pytest.fixture(scope="module")
def victim() -> fi.Victim:
    return fi.Victim(fi.encoders.tiny(), fi.defences.Identity())


def pairs_of(victim: fi.Victim, count: int = 100, *, flips: bool = False) -> fi.Pairs:
    return fi.extract(victim, fi.data.scenes(count, size=32, seed=3), flips=flips)


def surrogates(attack: fi.attacks.DecoderAttack) -> list[fi.encoders.Encoder]:
    """The networks inside its losses, in order."""
    return [term.loss.loss.encoder for term in attack.objective.terms[1:]]


def test_it_is_the_attack_of_its_configuration(
    victim: fi.Victim, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The surrogates it distils, saved where the configuration looks for them, make of it the same attack."""
    asked: list[tuple[ClassifierTraining, dict[str, Any]]] = []
    distil = fi.training.train_surrogate

    def one_step(pairs: Any, settings: ClassifierTraining, **more: Any) -> Any:
        asked.append((settings, more))
        return distil(pairs, dataclasses.replace(settings, epochs=0.1, mixed_precision="no"), **more)

    monkeypatch.setattr("featinv.presets.surrogates.train_surrogate", one_step)
    preset = presets.two_surrogates(pairs_of(victim, flips=True))
    for encoder, name in zip(surrogates(preset), ("surrogate", "surrogate_b"), strict=True):
        fi.encoders.save_encoder(encoder, tmp_path / f"{name}.safetensors")
    config = parse(recipe("compare").Config, arguments=["--config", str(GOAL)])
    settings = {"two surrogates": config.attacks["two surrogates"]}
    built = fi.assembly.build_attacks(settings, victim, 32, folders={"judges": str(tmp_path)})["two surrogates"]
    assert isinstance(built, fi.attacks.DecoderAttack)
    # A saved encoder is called after the layer that it was asked for by name.
    assert repr(built.objective).replace("/norm@", "@") == repr(preset.objective)
    assert built.training == preset.training
    assert repr(built.decoder) == repr(preset.decoder)
    for one, other in zip(built.decoder.parameters(), preset.decoder.parameters(), strict=True):
        assert torch.equal(one, other)

    distilled = parse(recipe("train_surrogate").Config, arguments=["--config", str(SURROGATE)])
    assert [settings for settings, _ in asked] == [distilled.training, dataclasses.replace(distilled.training, seed=1)]
    shape = inspect.signature(distil).parameters
    first, second = ({key: more.get(key, shape[key].default) for key in ("widths", "blocks")} for _, more in asked)
    assert first == {"widths": distilled.widths, "blocks": distilled.blocks}
    assert second == {"widths": (24, 48, 96, 192), "blocks": (1, 1, 1, 1)}


def test_a_hundred_pairs_are_enough_to_run(victim: fi.Victim) -> None:
    pairs = pairs_of(victim)
    attack = presets.two_surrogates(
        pairs,
        training=fi.Training(images=128, ema=None, keep="last"),
        distillation=ClassifierTraining(epochs=1, seed=4),
    )
    again = fi.training.train_surrogate(pairs, ClassifierTraining(epochs=1, seed=4))[0]
    one, other = surrogates(attack)
    assert one.weights_fingerprint == again.weights_fingerprint != other.weights_fingerprint
    # Both looked at the pairs, and neither may judge what it helped to train.
    assert attack.excluded_judges >= {one.weights_fingerprint, other.weights_fingerprint}
    attack.fit(pairs, progress=False)
    images = attack.reconstruct(torch.from_numpy(pairs.features([0, 1, 2])))
    assert images.shape == (3, 3, 32, 32)
    assert bool(images.isfinite().all())


def test_mirrored_images_are_used_where_the_pairs_have_them(victim: fi.Victim, monkeypatch: pytest.MonkeyPatch) -> None:
    def undistilled(pairs: Any, settings: Any, **more: Any) -> Any:
        network = fi.encoders.networks.SmallResNet(64, blocks=(1, 1, 1, 1), widths=(4, 4, 4, 4), standardise=True)
        return fi.encoders.Encoder(network, name="n", family="f", layer="norm", input_size=32), []

    monkeypatch.setattr("featinv.presets.surrogates.train_surrogate", undistilled)
    assert not presets.two_surrogates(pairs_of(victim, 4)).training.flips
    assert presets.two_surrogates(pairs_of(victim, 4, flips=True)).training.flips


def test_what_cannot_work_is_refused_before_the_minutes(victim: fi.Victim, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(fi.BadInput, match=r"pairs: expected at least 2 to distil from, got 1; give more"):
        presets.two_surrogates(pairs_of(victim, 1))

    def never(*_: Any, **__: Any) -> Any:
        raise AssertionError("distilled for a size that no decoder draws")

    monkeypatch.setattr("featinv.presets.surrogates.train_surrogate", never)
    odd = fi.extract(victim, fi.data.scenes(4, size=48))
    with pytest.raises(fi.BadInput, match="48"):
        presets.two_surrogates(odd)
