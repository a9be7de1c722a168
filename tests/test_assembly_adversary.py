"""An adversary and losses that look through an encoder, from names."""

import dataclasses
import inspect
from pathlib import Path
from typing import Any

import pytest
import torch

import featinv as fi
from featinv.assembly import AdversarySettings, AttackSettings, Term
from featinv.command_line import parse
from featinv.configuration import Component


@pytest.fixture(scope="module")
def victim() -> fi.Victim:
    return fi.Victim(fi.encoders.tiny(), fi.defences.Identity())


def build(victim: fi.Victim, **settings: Any) -> Any:
    return fi.assembly.build_attacks({"a": AttackSettings(**settings)}, victim, 32)["a"]


def test_settings_have_the_names_and_defaults_of_the_adversary() -> None:
    """A setting that is missing or differs would make the flag lie about the object."""
    own = {field.name: field.default for field in dataclasses.fields(AdversarySettings)}
    theirs = {name: one.default for name, one in inspect.signature(fi.training.Adversary).parameters.items()}
    assert set(own) - set(theirs) == {"conditional"}
    assert set(theirs) <= set(own)
    plain = set(theirs) - {"discriminator", "loss", "augment"}
    assert {name: own[name] for name in plain} == {name: theirs[name] for name in plain}
    assert own["loss"] == theirs["loss"].name
    assert not own["augment"]
    assert theirs["augment"] is None


def test_every_setting_reaches_the_adversary(victim: fi.Victim) -> None:
    settings = AdversarySettings(
        Component("Patch", {"layers": 2, "width": 8, "norm": "none"}),
        "relativistic",
        conditional=True,
        weight=0.7,
        adaptive=True,
        penalties=(Component("R1", {"weight": 0.1}), Component("LeCam")),
        augment="cutout",
        adversarial_start=0.3,
        discriminator_warmup=0.1,
        decoder_every=5,
        lr=1e-4,
        betas=(0.0, 0.9),
        eps=1e-6,
        weight_decay=0.01,
        clip=2.0,
    )
    changed = {field.name for field in dataclasses.fields(settings) if getattr(settings, field.name) == field.default}
    assert not changed, "a field at its default would not be seen to arrive"
    made = build(victim, adversary=settings).adversary
    assert isinstance(made.discriminator, fi.discriminators.Projection)
    assert made.discriminator.feature_shape == (64,)
    assert made.discriminator.discriminator.layers == 2
    assert made.loss is fi.losses.relativistic
    assert [type(penalty).__name__ for penalty in made.penalties] == ["R1", "LeCam"]
    assert made.penalties[0].weight == 0.1
    assert made.augment.policy == "cutout"
    same = set(inspect.signature(fi.training.Adversary).parameters) - {"discriminator", "loss", "penalties", "augment"}
    assert {name: getattr(made, name) for name in same} == {name: getattr(settings, name) for name in same}


def test_first_weights_depend_on_the_seed_alone(victim: fi.Victim) -> None:
    def weights(seed: int) -> torch.Tensor:
        torch.rand(7)
        made = build(victim, adversary=AdversarySettings(), training=fi.Training(seed=seed))
        return torch.cat([weight.flatten() for weight in made.adversary.discriminator.parameters()])

    assert torch.equal(weights(0), weights(0))
    assert not torch.equal(weights(0), weights(1))


def test_a_loss_that_looks_gets_the_encoder_of_the_victim(victim: fi.Victim) -> None:
    attack = build(victim, losses=(Term("L1"), Term("Perceptual", 0.5, {"layers": ["stages.0"]})))
    looking = attack.objective.terms[1]
    assert looking.loss.encoder is victim.encoder
    assert looking.loss.layers == ("stages.0",)
    assert looking.weight == 0.5
    assert attack.excluded_judges == {victim.encoder.weights_fingerprint}
    images = torch.rand(2, 3, 32, 32)
    other = fi.losses.L1() + 0.5 * fi.losses.Perceptual(victim.encoder, layers=["stages.0"])
    torch.testing.assert_close(attack.objective(images, images.flip(0)), other(images, images.flip(0)))


def test_a_loss_may_name_an_encoder_of_its_own(victim: fi.Victim, tmp_path: Path) -> None:
    weights = tmp_path / "w.safetensors"
    network = fi.encoders.networks.CifarResNet(8, 10)
    import safetensors.torch

    safetensors.torch.save_file(network.state_dict(), weights)
    named = {"name": "cifar_resnet", "args": {"weights": "{weights}/w.safetensors", "depth": 8}}
    term = Term("Perceptual", args={"encoder": named})
    objective = fi.assembly.build_objective([term], victim.encoder, {"weights": str(tmp_path)})
    assert objective.terms[0].loss.encoder.name.startswith("cifar")
    for bad in ({"nam": "tiny"}, 3):
        with pytest.raises(fi.BadInput, match=r"Perceptual\.encoder: expected \{name"):
            fi.assembly.build_objective([Term("Perceptual", args={"encoder": bad})], victim.encoder)
    with pytest.raises(fi.BadInput, match="there is no 'tinny'; did you mean tiny"):
        fi.assembly.build_objective([Term("Perceptual", args={"encoder": "tinny"})], victim.encoder)
    with pytest.raises(fi.BadInput, match="Perceptual: expected an encoder to look through, got none"):
        fi.assembly.build_objective([Term("Perceptual")])


def test_a_frozen_backbone_is_the_victims_encoder(victim: fi.Victim) -> None:
    part = Component("FrozenFeatures", {"layers": ["stages.0"], "width": 8})
    attack = build(victim, adversary=AdversarySettings(part))
    assert attack.adversary.discriminator.encoder is victim.encoder
    assert attack.excluded_judges == {victim.encoder.weights_fingerprint}


FOREIGN = """
from featinv.discriminators import Discriminator
from torch import nn

class Tiny(Discriminator):
    def __init__(self, side, *, deep: int = 4):
        super().__init__(side, deep)
        self.deep = deep
        self.first = nn.Conv2d(3, deep, 3, padding=1)

    def hidden(self, images):
        return self.first(images)

    def head(self, hidden, features):
        return hidden.flatten(1).mean(1)
"""


def test_a_foreign_discriminator(victim: fi.Victim, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "foreign_adversary.py").write_text(FOREIGN)
    monkeypatch.syspath_prepend(tmp_path)
    attack = build(victim, adversary=AdversarySettings(Component("foreign_adversary.Tiny", {"deep": 6})))
    assert attack.adversary.discriminator.deep == 6
    assert attack.adversary.discriminator.image_size == 32


NAN = float("nan")


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (AdversarySettings(Component("DCGAM")), r"discriminators: there is no 'DCGAM'; did you mean DCGAN\?"),
        (AdversarySettings(Component("DCGAN", {"widht": 3})), "its own keywords are: width, norm"),
        (AdversarySettings(weight=-1), "adversary.weight: expected .* got -1"),
        (AdversarySettings(weight=NAN), "adversary.weight: expected .* got nan"),
        (AdversarySettings(augment="rotation"), "there is no 'rotation'"),
        (
            AdversarySettings(penalties=(Component("R1", {"weight": 1.0}),)),
            r"R1: expected a discriminator without batch norm",
        ),
        (AdversarySettings(Component("FrozenFeatures", {"layers": ["no"]})), "no"),
    ],
)
def test_bad_settings_get_one_line_before_training(victim: fi.Victim, settings: AdversarySettings, said: str) -> None:
    with pytest.raises(fi.BadInput, match=said) as caught:
        build(victim, adversary=settings)
    assert "\n" not in str(caught.value)


@dataclasses.dataclass(frozen=True)
class Flags:
    """Flags of a test."""

    adversary: AdversarySettings | None = None
    """the adversary"""
    attacks: dict[str, AttackSettings] = dataclasses.field(default_factory=dict)
    """by name"""


def test_flags_and_files_reach_an_adversary_that_is_null_by_default(tmp_path: Path) -> None:
    assert parse(Flags, "doc", []).adversary is None
    flags = ["--adversary.discriminator", "Patch", "--adversary.discriminator.layers", "2", "--adversary.weight", "0.3"]
    wanted = AdversarySettings(Component("Patch", {"layers": 2}), weight=0.3)
    assert parse(Flags, "doc", flags).adversary == wanted
    file = tmp_path / "c.yaml"
    file.write_text(
        "adversary: {discriminator: {name: Patch, args: {layers: 2}}, penalties: [{name: R1, args: {weight: 0.1}}]}\n"
        "attacks: {a: {adversary: {loss: relativistic}}}\n"
    )
    given = parse(Flags, "doc", ["--config", str(file), "--adversary.weight", "0.3"])
    assert given.adversary == dataclasses.replace(wanted, penalties=(Component("R1", {"weight": 0.1}),))
    assert given.attacks["a"].adversary == AdversarySettings(loss="relativistic")
    assert parse(Flags, "doc", ["--config", str(file), "--adversary", "null"]).adversary is None


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--adversary.wieght", "1"], "Option 'wieght' is not accepted"),
        (["--adversary.loss", "bce"], "'relativistic'"),
        (["--adversary.weight", "much"], "Given value: much"),
    ],
)
def test_a_wrong_flag_of_the_adversary_is_one_line(flags: list[str], said: str, capsys: Any) -> None:
    with pytest.raises(SystemExit) as left:
        parse(Flags, "doc", flags)
    assert left.value.code == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
