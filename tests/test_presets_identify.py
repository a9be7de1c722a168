"""The attack that identifies: its bank, its objective, and what it refuses before the minutes of distilling."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from recipe_modules import recipe

import featinv as fi
from featinv import presets
from featinv.command_line import parse
from featinv.encoders.networks import SmallResNet, SmallVGG
from featinv.training import (
    Ball,
    ClassifierTraining,
    check_bank,
    class_targets,
    cluster_targets,
    targets_of,
    train_bank,
    train_surrogate,
)
from featinv.training.bank import JUDGES_FAMILIES, bank_members

QUICK = ClassifierTraining(epochs=1, batch_size=16, input_size=16, mixed_precision="no")


@pytest.fixture(scope="module")
def pairs() -> fi.Pairs:
    victim = fi.Victim(fi.encoders.tiny(), fi.defences.Identity())
    return fi.extract(victim, fi.data.scenes(64, size=32, seed=3))


@pytest.fixture(scope="module")
def bank(pairs: fi.Pairs) -> tuple[fi.encoders.Encoder, ...]:
    return train_bank(pairs, QUICK)


def test_the_bank_has_four_families_or_targets_and_none_of_a_judge(bank: tuple[fi.encoders.Encoder, ...]) -> None:
    assert [member.family for member in bank] == ["surrogate", "surrogate", "convnext", "surrogate"]
    assert len({member.weights_fingerprint for member in bank}) == 4
    assert all(member.image_size == 16 for member in bank)
    assert not {member.family for member in bank} & set(JUDGES_FAMILIES)


def test_other_members_are_named_and_an_unknown_one_is_refused(pairs: fi.Pairs) -> None:
    vit, distilled = train_bank(pairs, QUICK, ball=Ball(steps=1), members=["bank_vit", "bank_residual"])
    assert (vit.family, distilled.name) == ("vit", "bank_residual")
    with pytest.raises(fi.BadInput, match="expected members among .*bank_classes_wide.*got 'bank_vgg'"):
        train_bank(pairs, QUICK, members=["bank_vgg"])


def test_what_a_member_learns_is_labels_clusters_or_vectors(pairs: fi.Pairs) -> None:
    members = {member.name: member for member in bank_members(16)}
    labels = targets_of(members["bank_classes"], pairs)
    clusters = targets_of(members["bank_clusters"], pairs)
    assert np.array_equal(labels, class_targets(pairs))
    assert np.array_equal(clusters, cluster_targets(pairs))
    assert not np.array_equal(labels, clusters)
    assert targets_of(members["bank_residual"], pairs) is None


def test_it_fits_and_no_member_may_judge_it(pairs: fi.Pairs, bank: tuple[fi.encoders.Encoder, ...]) -> None:
    training = fi.Training(images=128, ema=None, keep="last", mixed_precision="no")
    attack = presets.identify(pairs, bank=bank, training=training)
    assert attack.excluded_judges >= {member.weights_fingerprint for member in bank}
    attack.fit(pairs, progress=False)
    made = attack.reconstruct(torch.from_numpy(pairs.features([0, 1, 2])))
    assert made.shape == (3, 3, 32, 32)
    assert bool(made.isfinite().all())
    # Drawn at half the side: nothing is left of what an image loses by that.
    small = torch.nn.functional.interpolate(made, size=16, mode="area")
    again = torch.nn.functional.interpolate(small, size=32, mode="bilinear")
    assert float((again - made).square().mean()) < 1e-3


def test_its_objective_is_pixels_and_two_drawn_members(pairs: fi.Pairs, bank: tuple[fi.encoders.Encoder, ...]) -> None:
    attack = presets.identify(pairs, bank=bank, tau=0.07, weight=0.4)
    said = repr(attack.objective)
    assert said.startswith("10*MSE + 1*Drawn(2 of ")
    assert said.count("0.4*RandomViews(Identification(") == 4
    assert said.count("tau=0.07") == 4
    assert f"{len(pairs)} public" in said


def test_with_the_encoder_two_copies_of_it_stand_in_the_bank(
    pairs: fi.Pairs, bank: tuple[fi.encoders.Encoder, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("featinv.presets.retouching.STAGES", ((QUICK, Ball(steps=1)), (QUICK, Ball(steps=1))))
    encoder = fi.encoders.tiny()
    attack = presets.identify(pairs, bank=bank[:1], encoder=encoder)
    assert repr(attack.objective).count("Identification(") == 3
    assert len(attack.excluded_judges) == 3
    assert encoder.weights_fingerprint not in attack.excluded_judges
    alike = presets.identify(pairs, bank=bank, pixels=3, likeness=0.5, weight=0.5, drawn=1)
    assert repr(alike.objective).startswith("3*MSE + 1*Drawn(1 of ")
    assert repr(alike.objective).count("0.5*RandomViews(Perceptual(") == 4
    assert "Perceptual" not in repr(attack.objective)
    with pytest.raises(fi.BadInput, match=r"give victim\.encoder"):
        presets.identify(pairs, bank=bank, encoder=fi.encoders.tiny(layer="stages.2"))


def test_classes_are_labels_or_clusters_of_vectors(pairs: fi.Pairs) -> None:
    labels = class_targets(pairs)
    assert pairs.labels is not None
    assert all(len(np.unique(labels[pairs.labels == one])) == 1 for one in np.unique(pairs.labels))
    dice = np.random.default_rng(0)
    groups = np.repeat([0, 1, 2], 30)
    vectors = (10 * np.eye(3)[groups] + dice.normal(0, 0.1, (90, 3))).astype(np.float32)
    pixels = dice.integers(0, 255, (90, 8, 8, 3), dtype=np.uint8)
    unlabelled = fi.Pairs(vectors, fi.data.ImageSet(pixels, ids=[str(i) for i in range(90)]))
    clusters = class_targets(unlabelled)
    # No cluster may hold images of two groups; how many clusters a group is cut into does not matter.
    assert all(len(np.unique(groups[clusters == one])) == 1 for one in np.unique(clusters))
    assert clusters.min() == 0
    assert clusters.max() >= 2
    with pytest.raises(fi.BadInput, match="at least 40 pairs to cluster"):
        class_targets(unlabelled.take(range(30)))


@pytest.mark.parametrize("side", [4, 20])
def test_a_side_that_no_transformer_tiles_is_refused(side: int) -> None:
    with pytest.raises(fi.BadInput, match="multiple of 8"):
        bank_members(side)


def test_bad_input_is_refused_before_the_minutes(pairs: fi.Pairs, bank: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: Any, **__: Any) -> Any:
        raise AssertionError("distilled for settings that cannot work")

    monkeypatch.setattr("featinv.presets.surrogates.train_bank", never)
    for tau in (0, -1, math.nan):
        with pytest.raises(fi.BadInput, match="tau"):
            presets.identify(pairs, tau=tau)
    with pytest.raises(fi.BadInput, match="at least one surrogate"):
        presets.identify(pairs, bank=())
    with pytest.raises(fi.BadInput, match="drawn"):
        presets.identify(pairs, drawn=0)
    odd = fi.extract(fi.Victim(fi.encoders.tiny()), fi.data.scenes(4, size=48))
    with pytest.raises(fi.BadInput, match="48"):
        presets.identify(odd)


def test_a_member_of_a_judges_family_or_of_another_victim_is_refused(pairs: fi.Pairs, bank: Any) -> None:
    class Cut(SmallVGG):
        """A VGG with the layer that surrogates are cut at."""

        def __init__(self, heads: int) -> None:
            super().__init__(heads, widths=(8,), convolutions=(1,))
            self.norm = torch.nn.BatchNorm1d(8, affine=False)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.linear(self.norm(self.avgpool(self.stages(x)).flatten(1)))

    plain, _ = train_surrogate(pairs, QUICK, make=Cut)
    with pytest.raises(fi.BadInput, match="'vgg', of which judges are made"):
        check_bank([*bank, plain], pairs)
    other = fi.extract(fi.Victim(fi.encoders.tiny(layer="stages.2")), fi.data.scenes(16, size=32))
    foreign, _ = train_surrogate(
        other, QUICK, make=lambda count: SmallResNet(count, widths=(8,), blocks=(1,), standardise=True)
    )
    with pytest.raises(fi.BadInput, match="was distilled from victim"):
        presets.identify(pairs, bank=[foreign])


def test_a_member_of_a_judges_network_is_refused_under_another_name(pairs: fi.Pairs, bank: Any) -> None:
    network = SmallVGG(10, widths=(8,), convolutions=(1,))
    renamed = fi.encoders.Encoder(network, name="mine", family="residual", layer="avgpool", input_size=16)
    with pytest.raises(fi.BadInput, match="mine is of the family 'vgg', of which judges are made"):
        presets.identify(pairs, bank=[*bank, renamed])
    with pytest.raises(fi.BadInput, match="mine is of the family 'vgg', of which judges are made"):
        fi.attacks.Retouched(fi.attacks.NearestNeighbour(), [renamed])


@pytest.mark.parametrize("own_head", [False, True])
def test_a_judge_whose_weights_a_member_has_may_not_score(pairs: fi.Pairs, own_head: bool, tmp_path: Path) -> None:
    """Whatever either is called, before the attack is trained and after, and also with a head of its own."""
    network = SmallResNet(7, widths=(8, 16), blocks=(1, 1), standardise=True)
    judge = fi.encoders.Judge(
        network, name="j", family="other", trained_on="x", classes=[*"abcdefg"], input_size=16, layer="norm"
    )
    copied = SmallResNet(12 if own_head else 7, widths=(8, 16), blocks=(1, 1), standardise=True)
    weights = {name: value for name, value in network.state_dict().items() if not own_head or "linear" not in name}
    copied.load_state_dict(weights, strict=False)
    member = fi.encoders.Encoder(copied, name="mine", family="mine", layer="norm", input_size=16)
    training = fi.Training(images=64, ema=None, keep="last", mixed_precision="no")
    attack = presets.identify(pairs, bank=[member], training=training)
    release = fi.release(fi.Victim(fi.encoders.tiny()), fi.data.scenes(4, size=32, seed=9))

    def refused(made: fi.attacks.DecoderAttack) -> None:
        with pytest.raises(fi.BadInput, match="'j' (is used by|has the weights of a network in)"):
            fi.evaluation.check_judges([judge], {"identify": made}, release, allow_sibling=False)

    refused(attack)
    refused(attack.fit(pairs, progress=False))
    fi.save_attack(attack, tmp_path / "saved")
    if not own_head:  # a saved attack knows whole networks only
        refused(fi.load_attack(tmp_path / "saved"))


@pytest.mark.parametrize("member", ["convnext", "classes"])
def test_the_recipe_distils_a_member_of_the_bank(member: str, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    out = tmp_path / "member.safetensors"
    settings = ["--member", member, "--radius", "0.25", "--steps", "1", "--training.input_size", "16"]
    sizes = ["--images.public", "40", "--images.private", "10", "--training.epochs", "1", "--training.batch_size", "16"]
    program = recipe("train_surrogate")
    program.main(parse(program.Config, arguments=["--out", str(out), *settings, *sizes]))
    assert "%" in capsys.readouterr().out
    read = fi.encoders.saved(out, layer="norm")
    assert read.family == ("convnext" if member == "convnext" else "surrogate")
    assert "(victim " in read.trained_on


def test_a_configuration_names_tau_weight_and_views(bank: Any, tmp_path: Path) -> None:
    """Without public features, which a file cannot name: the candidates are the batch."""
    fi.encoders.save_encoder(bank[0], tmp_path / "s.safetensors")
    victim = fi.Victim(fi.encoders.tiny())
    encoder = {"name": "saved", "args": {"source": str(tmp_path / "s.safetensors"), "layer": "norm"}}
    attack = {
        "decoder": {"name": "Upsampling", "args": {"width": 32, "channels": 0}},
        "losses": [
            {"name": "MSE"},
            {
                "name": "Identification",
                "weight": 0.3,
                "args": {"encoder": encoder, "tau": 0.07},
                "views": {"both": False},
            },
        ],
    }
    (tmp_path / "c.yaml").write_text(json.dumps({"attacks": {"one": attack}}))
    config = parse(recipe("compare").Config, arguments=["--config", str(tmp_path / "c.yaml")])
    built = fi.assembly.build_attacks({"one": config.attacks["one"]}, victim, 32, folders={})["one"]
    assert isinstance(built, fi.attacks.DecoderAttack)
    assert "0.3*RandomViews(Identification(" in repr(built.objective)
    assert "tau=0.07, candidates=the batch" in repr(built.objective)
    assert "both=False" in repr(built.objective)
