"""Train one attack on one victim, by flags: decoder, losses, adversary and training are named.

    accelerate launch recipes/train.py --out runs/train --decoder Upsampling --decoder.width 256 --training.minutes 5
    accelerate launch recipes/train.py --out runs/gan --adversary.discriminator DCGAN --adversary.weight 0.01
    accelerate launch recipes/train.py --config recipes/configs/gan_perceptual.yaml --out runs/both
    accelerate launch recipes/train.py --decoder my_package.MyDecoder --out runs/mine

Leaves in --out/attack an attack for recipes/reconstruct.py, and in --out/scoreboard.json its score beside two controls.
"""

import time
from dataclasses import dataclass, field, replace

import featinv as fi
from featinv.assembly import (
    AdversarySettings,
    AttackSettings,
    ImageSettings,
    JudgeSettings,
    RunFolder,
    Term,
    VictimSettings,
)
from featinv.configuration import Component
from featinv.tracking import TrackingSettings
from featinv.training.settings import Training


@dataclass(frozen=True)
class Config:
    """What to attack, and with which decoder."""

    out: str = "runs/train"
    """folder for the results"""
    data: str | None = None
    """folder of images (or .npz/.npy); stands in for images.source"""
    weights: str | None = None
    """folder of weights, `{weights}` in the components below"""
    images: ImageSettings = field(default_factory=ImageSettings)
    """which images are public and which are private"""
    victim: VictimSettings = field(default_factory=VictimSettings)
    """what is attacked"""
    decoder: Component = Component("Upsampling")
    """an export of featinv.decoders, or the import path of a class of yours"""
    losses: tuple[Term, ...] = ()
    """the terms of the objective; MSE when none is named"""
    training: Training = field(default_factory=Training)
    """how the decoder is trained"""
    adversary: AdversarySettings | None = None
    """the adversary of the decoder, `--adversary.weight 0.1`; null: none; `--adversary.help` lists its settings"""
    judges: dict[str, JudgeSettings] = field(default_factory=lambda: {"scenes-vgg": JudgeSettings()})
    """the judges; the first one counts"""
    metrics: tuple[str, ...] = ()
    """metrics beside the usual ones, as in recipes/compare.py: names, or the import path of one of yours"""
    live: bool = False
    """encode mirrored images on the fly instead of caching their features"""
    seed: int = 0
    """draws the release and the bootstrap"""
    tracking: TrackingSettings = field(default_factory=TrackingSettings)
    """what is logged to wandb: offline, under --out/wandb, and no images, unless asked otherwise"""


def main(config: Config) -> None:
    fi.evaluation.check_metrics(config.metrics, "--metrics")
    fi.assembly.check_names(config)
    run = RunFolder(config.out, config)
    fi.processes.share_threads()
    images = config.images if config.data is None else replace(config.images, source=config.data)
    folders = {"weights": config.weights, "judges": config.out}
    # Of a finished run the files themselves are compared, not what was cached of them.
    cache = None if run.finished else run.path / "images"
    victim = fi.assembly.build_victim(config.victim, folders).to(fi.processes.device())
    public, private, overlap = fi.assembly.load_images(images, cache=cache, encoder=victim.encoder)
    persons = fi.assembly.persons_on(images, public, private)
    run.must_be_of(fi.assembly.inputs_of(public, private, victim, persons))
    if run.finished:
        fi.assembly.show_again(run, config.judges, folders)
        return
    settings = AttackSettings(
        decoder=config.decoder, losses=config.losses, training=config.training, adversary=config.adversary
    )
    attack = fi.assembly.build_attacks({"attack": settings}, victim, public.size, folders=folders)["attack"]
    assert isinstance(attack, fi.attacks.DecoderAttack)
    judges = fi.assembly.build_judges(config.judges, public, folders)
    run.must_be_of(fi.assembly.judges_of(judge.fingerprint for judge in judges))
    release = fi.release(victim, private, seed=config.seed)
    fi.evaluation.check_judges(judges, {"attack": attack}, release, allow_sibling=False)

    pairs = fi.live(victim, public) if config.live else fi.extract(victim, public, to=run.path / "features", flips=True)
    study, name = fi.tracking.Study(run.path, config.tracking, config=config), config.decoder.name
    checkpoints = fi.training.Checkpoints(run.path / "checkpoints", every_seconds=120)
    attack.fit(pairs, checkpoints=checkpoints, listener=study.listener(name, attack))
    seconds = {name: attack.seconds}

    if fi.processes.is_main():
        fi.save_attack(attack, run.path / "attack")
        attacks, fitting = fitted_controls(pairs)
        attacks[name], seconds = attack, fitting | seconds
        board = fi.compare(
            attacks,
            release,
            judges,
            metrics=config.metrics,
            seed=config.seed,
            public=public,
            overlap=overlap,
            fit_seconds=seconds,
            clusters=persons and persons.private,
            public_clusters=persons and persons.public,
        )
        with fi.files.atomic_file(run.path / "samples.png") as temporary:
            fi.evaluation.samples(attacks, release, count=10, seed=config.seed).save(temporary, format="PNG")
        board.save(run.path)
        store = None if config.live else run.path / "features"
        study.log(board, attacks, release, features=store, folders={name: run.path / "attack"})
        print(board)
    run.complete()


def fitted_controls(pairs: "fi.types.PairsLike") -> tuple[dict[str, "fi.types.Attack"], dict[str, float]]:
    """Return the controls by name, fitted, and the seconds that each took."""
    controls: dict[str, fi.types.Attack] = {
        "mean image": fi.attacks.MeanImage(),
        "nearest neighbour": fi.attacks.NearestNeighbour(),
    }
    seconds = {}
    for name, control in controls.items():
        started = time.monotonic()
        control.fit(pairs)
        seconds[name] = time.monotonic() - started
    return controls, seconds


if __name__ == "__main__":
    fi.command_line.run(main, Config, __doc__)
