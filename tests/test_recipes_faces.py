"""The configuration for faces: any folder of people, any encoder and any judge of one's own."""

from pathlib import Path

import pytest
from PIL import Image
from recipe_modules import recipe

import featinv as fi
from featinv.command_line import parse

CONFIGS = Path(__file__).parents[1] / "recipes" / "configs"
MY_FACES = """
import featinv as fi

def encoder():
    return fi.encoders.tiny()

def judge():
    return fi.encoders.judge("scenes-vgg")
"""
PEOPLE, EACH = 12, 3
SMALL = ["--images.public", "20", "--images.private", "6", "--images.smaller", "upscale"]


@pytest.fixture
def people(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a folder for each of 12 people, 3 images each, and the module that the configuration names."""
    (tmp_path / "my_faces.py").write_text(MY_FACES)
    monkeypatch.syspath_prepend(tmp_path)
    scenes = fi.data.scenes(PEOPLE * EACH, size=32, seed=5)
    for row in range(len(scenes)):
        folder = tmp_path / "aligned" / f"person{row // EACH}"
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(scenes.uint8([row])[0]).save(folder / f"{row}.png")
    return tmp_path / "aligned"


def config_of(name: str, script: str, people: Path) -> object:
    arguments = ["--config", str(CONFIGS / f"{name}.yaml"), "--images.source", str(people), *SMALL]
    return parse(recipe(script).Config, arguments=arguments)


def test_no_person_is_on_both_sides_and_encoder_and_judge_are_ones_own(people: Path) -> None:
    config = config_of("faces_scoreboard", "compare", people)
    victim = fi.assembly.build_victim(config.victim)
    public, private, _ = fi.assembly.load_images(config.images, encoder=victim.encoder)
    persons = fi.assembly.persons_on(config.images, public, private)
    assert persons is not None, "without it there are no rates of verification"
    assert not set(persons.public) & set(persons.private)
    assert persons.private == [name.split("/")[0] for name in private.ids]
    assert public.size == 64
    (judge,) = fi.assembly.build_judges(config.judges, public)
    assert judge.fingerprint == fi.encoders.judge("scenes-vgg").fingerprint
    assert victim.encoder.fingerprint == fi.encoders.tiny().fingerprint


def test_the_attacks_through_the_target_look_through_the_encoder_that_is_given(people: Path) -> None:
    config = config_of("faces_scoreboard", "compare", people)
    victim = fi.assembly.build_victim(config.victim)
    attacks = fi.assembly.build_attacks(
        {name: setting for name, setting in config.attacks.items() if "surrogates" not in name}, victim, 64
    )
    through = [name for name, attack in attacks.items() if victim.encoder.weights_fingerprint in _excluded(attack)]
    assert through == ["through the target", "through the target, 64 px", "through the target, gan"]
    assert attacks["pixel"].objective.fingerprints == frozenset()
    assert isinstance(attacks["through the target, gan"].adversary, fi.Adversary)


def test_surrogates_are_distilled_from_the_public_side_of_the_same_split(people: Path) -> None:
    board = config_of("faces_scoreboard", "compare", people)
    surrogate = config_of("faces_surrogate", "train_surrogate", people)
    assert surrogate.images == board.images
    assert surrogate.victim == board.victim


def _excluded(attack: object) -> frozenset[str]:
    return getattr(attack, "excluded_judges", frozenset())
