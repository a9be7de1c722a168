"""A typing mistake in a name or keyword costs no image: it is refused first, and the message names the flag."""

import sys
from pathlib import Path

import pytest

import featinv as fi
from featinv.assembly import AttackSettings, JudgeSettings, Term, VictimSettings, check_names
from featinv.assembly.adversary_settings import AdversarySettings
from featinv.configuration import Component

RECIPES = Path(__file__).parents[1] / "recipes"
sys.path.insert(0, str(RECIPES))


def train_config(**changes: object) -> object:
    import train

    return train.Config(**changes)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"decoder": Component("Upsamplin")}, r"--decoder: .*did you mean Upsampling\?"),
        ({"decoder": Component("mypkg.Mne")}, "--decoder: .*cannot import 'mypkg.Mne'"),
        (
            {"decoder": Component("Upsampling", {"widht": 8})},
            "--decoder.widht: Upsampling takes no such keyword; it takes",
        ),
        ({"losses": (Term("MSE"), Term("L3"))}, "--losses: .*there is no 'L3'"),
        ({"losses": (Term("MSSSIM", args={"scale": 3}),)}, "--losses.scale: "),
        ({"victim": VictimSettings(Component("tinny"))}, r"--victim.encoder: .*did you mean tiny\?"),
        (
            {"victim": VictimSettings(defence=Component("GaussianNoise", {"strength": 1}))},
            "--victim.defence.strength: ",
        ),
        ({"adversary": AdversarySettings(Component("DCGAM"))}, "--adversary.discriminator: .*did you mean DCGAN"),
        ({"adversary": AdversarySettings(penalties=(Component("R3"),))}, "--adversary.penalties: .*there is no 'R3'"),
        ({"judges": {"mine": JudgeSettings(network=Component("SmallVG"))}}, "--judges.mine.network: "),
    ],
)
def test_the_flag_is_named_and_nothing_is_read(
    changes: dict[str, object], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import train

    monkeypatch.setattr(fi.assembly, "load_images", lambda *_, **__: pytest.fail("images were read"))
    with pytest.raises(fi.BadInput, match=words):
        train.main(train_config(out=str(tmp_path / "run"), **changes))
    assert not (tmp_path / "run").exists()


def test_every_configuration_that_is_shipped_has_names_that_exist() -> None:
    """Every field that names a component is looked up in a package; one that is not would go unchecked."""
    from featinv.configuration import PACKAGES

    def components(kind: type) -> set[str]:
        import dataclasses

        return {
            item.name
            for item in dataclasses.fields(kind)
            if item.type in (Component, "Component", tuple[Component, ...])
        }

    kinds = (AttackSettings, JudgeSettings, VictimSettings, AdversarySettings)
    fields = set().union(*(components(kind) for kind in kinds))
    assert fields <= set(PACKAGES)
    assert {"encoder", "defence", "decoder", "attack", "judge", "network", "discriminator", "penalties"} <= fields
    check_names(train_config())
