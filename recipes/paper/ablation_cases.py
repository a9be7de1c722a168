"""What the ablations train: the victims, images and decoders of each case, fitted or loaded."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ablation_settings import Config, Scale

import featinv as fi
from featinv.assembly import ImageSettings, RunFolder, VictimSettings
from featinv.training.settings import Training

if TYPE_CHECKING:
    from featinv.data import ImageSet, Overlap
    from featinv.types import Attack

    Images = tuple[ImageSet, ImageSet, Overlap]

PAPER = "listik 3x3"
ANY_SHAPE = "upsampling"
LISTIK: dict[str, dict[str, Any]] = {PAPER: {}, "listik 4x4": {"kernel": 4}, "listik 3x3 + mixing": {"mix": True}}


class Case(NamedTuple):
    """One release: images of a size, through the encoder cut at a layer."""

    size: int
    layer: str


def folders(config: Config) -> dict[str, str | None]:
    return {"weights": config.weights, "judges": config.judge_folder or config.out}


def victim_at(config: Config, layer: str) -> "fi.Victim":
    """The encoder cut at a layer, with nothing done to its features."""
    encoder = replace(config.encoder, args={**config.encoder.args, "layer": layer})
    return fi.assembly.build_victim(VictimSettings(encoder), folders(config)).to(fi.processes.device())


def attacks_on(case: Case, shape: tuple[int, ...], config: Config, scale: Scale) -> "dict[str, Attack]":
    """The controls, and the decoders that are compared on this release."""
    attacks: dict[str, Attack] = {
        "mean image": fi.attacks.MeanImage(),
        "nearest neighbour": fi.attacks.NearestNeighbour(),
    }
    paper, ours = Training.paper(images=scale.images), Training(images=scale.images, batch_size=30)
    if case.layer == config.pooled:
        for name, options in LISTIK.items():
            with fi.processes.seeded(paper.seed):
                decoder = fi.decoders.Listik(shape, case.size, **options)
            attacks[name] = fi.presets.listik(shape, case.size, decoder=decoder, training=paper)
    if case.size == scale.sizes[0]:
        with fi.processes.seeded(ours.seed):
            any_shape = fi.decoders.Upsampling(shape, case.size)
        attacks[ANY_SHAPE] = fi.attacks.DecoderAttack(any_shape, fi.losses.MSE(), ours)
    return attacks


def images_of(size: int, config: Config, scale: Scale, run: RunFolder) -> "Images":
    """Public images, private ones, and which of them nearly coincide."""
    source = config.data or "scenes"
    settings = ImageSettings(source, size, scale.public, scale.private, config.smaller, seed=config.seed)
    # Of a finished run the files themselves are compared, not what was cached of them.
    return fi.assembly.load_images(settings, cache=None if run.finished else run.path / "images")


def fit(attack: "Attack", pairs: "fi.Pairs", folder: Path) -> "Attack":
    """Fit one attack and save it in its folder, or load it from there; a half-trained decoder resumes."""
    if fi.processes.broadcast((folder / "attack.json").is_file()):
        return fi.load_attack(folder)
    checkpoints = folder.with_name(f"{folder.name}-checkpoints")
    if isinstance(attack, fi.attacks.DecoderAttack):
        attack.fit(pairs, checkpoints=fi.training.Checkpoints(checkpoints, every_seconds=120))
    else:
        attack.fit(pairs)
    fi.processes.barrier()
    if fi.processes.is_main():
        fi.save_attack(attack, folder)
        shutil.rmtree(checkpoints, ignore_errors=True)
    fi.processes.barrier()
    return attack
