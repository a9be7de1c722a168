"""Train several attacks on one victim and compare them: images in, a scoreboard with controls and intervals out.

    accelerate launch recipes/compare.py --config recipes/configs/demo.yaml --out runs/demo
    accelerate launch recipes/compare.py --config recipes/configs/cifar10.yaml --data DIR --weights DIR --out DIR

Leaves in --out: report.html (open it first; report_images.npz holds its images), scoreboard.json, per_image.npz,
run.json, samples.png, wandb/ (docs/wandb.md), and a folder an attack for recipes/reconstruct.py. Called again it shows
the finished run (not where images, victim, judges or featinv have changed); after a kill it goes on.
"""

import shutil
import time
from dataclasses import dataclass, field, replace
from typing import Any

import featinv as fi
from featinv.assembly import AttackSettings, ImageSettings, JudgeSettings, RunFolder, VictimSettings
from featinv.tracking import TrackingSettings


@dataclass(frozen=True)
class Config:
    """What to attack, with what, and who judges."""

    out: str = "runs/compare"
    """folder for the results"""
    data: str | None = None
    """folder of images (or .npz/.npy); stands in for images.source"""
    weights: str | None = None
    """folder of weights, `{weights}` in the components below"""
    judge_folder: str | None = None
    """folder of judges trained before, `{judges}` in the components below; --out when not given"""
    minutes: float | None = None
    """bounds the training of each attack"""
    expected: str = ""
    """how long a run of this configuration takes, in words; printed first"""
    images: ImageSettings = field(default_factory=ImageSettings)
    """which images are public and which are private"""
    victim: VictimSettings = field(default_factory=VictimSettings)
    """what is attacked"""
    judges: dict[str, JudgeSettings] = field(default_factory=lambda: {"scenes-vgg": JudgeSettings()})
    """the judges; the first one counts, of another family than the encoder"""
    attacks: dict[str, AttackSettings] = field(default_factory=dict)
    """the attacks by name; controls first"""
    galleries: tuple[int, ...] = ()
    """sizes of smaller galleries in which re-identification is reported as well"""
    metrics: tuple[str, ...] = ("full",)
    """metrics beside the usual ones: full, default (none), names (lpips, judge_kd, ...), or the import path of
    one of yours (`--metrics [full,my_package.my_metric]`); what cannot be measured is named with the reason"""
    headroom: bool = False
    """add the rows "judge features predicted", which no attack has to beat; a minute or two for each judge"""
    defend: tuple[str, ...] = ()
    """settings of `featinv defend` that are compared on these vectors at the end; one line says which to release"""
    flips: bool = True
    """cache the features of mirrored images too, so that training can use both"""
    samples: int = 10
    """images in samples.png"""
    seed: int = 0
    """draws the release, the samples and the bootstrap"""
    tracking: TrackingSettings = field(default_factory=TrackingSettings)
    """what is logged to wandb: offline, under --out/wandb, and no images, unless asked otherwise"""


def main(config: Config) -> None:
    fi.evaluation.check_metrics(config.metrics, "--metrics")
    fi.evaluation.check_attack_names(config.attacks)
    fi.assembly.check_names(config)
    run = RunFolder(config.out, config)
    if not run.finished and fi.processes.is_main():
        announce(config)
    fi.processes.share_threads()
    images = config.images if config.data is None else replace(config.images, source=config.data)
    folders = {"weights": config.weights, "judges": config.judge_folder or config.out}
    # Of a finished run the files themselves are compared, not what was cached of them.
    cache = None if run.finished else run.path / "images"
    victim = fi.assembly.build_victim(config.victim, folders).to(fi.processes.device())
    public, private, overlap = fi.assembly.load_images(images, cache=cache, encoder=victim.encoder)
    persons = fi.assembly.persons_on(images, public, private)
    run.must_be_of(fi.assembly.inputs_of(public, private, victim, persons))
    if run.finished:
        fi.assembly.show_again(run, config.judges, folders)
        return
    attacks = fi.assembly.build_attacks(config.attacks, victim, public.size, config.minutes, folders)
    judges = fi.assembly.build_judges(config.judges, public, folders)
    run.must_be_of(fi.assembly.judges_of(judge.fingerprint for judge in judges))
    release = fi.release(victim, private, seed=config.seed)
    fi.evaluation.check_judges(judges, attacks, release, allow_sibling=False)
    pairs = fi.extract(victim, public, to=run.path / "features", flips=config.flips)
    study = fi.tracking.Study(run.path, config.tracking, config=config)
    seconds = {}
    for name, attack in attacks.items():
        started = time.monotonic()
        attacks[name] = fit(attack, name, pairs, run, config, study)
        seconds[name] = time.monotonic() - started

    if fi.processes.is_main():
        training: dict[str, Any] = {"public": public, "overlap": overlap, "fit_seconds": seconds, "seed": config.seed}
        scoring: dict[str, Any] = {"galleries": config.galleries, "metrics": config.metrics}
        scoring |= {"clusters": persons and persons.private, "public_clusters": persons and persons.public}
        board = fi.compare(attacks, release, judges, headroom=pairs if config.headroom else None, **scoring, **training)
        board = fi.evaluation.calibrated(board, attacks, release, public, seed=config.seed)
        with fi.files.atomic_file(run.path / "samples.png") as temporary:
            fi.evaluation.samples(attacks, release, count=config.samples, seed=config.seed).save(temporary, "PNG")
        board.save(run.path)
        if chosen := fi.report.choose_images(board, attacks, release, seed=config.seed):
            chosen.save(run.path)
        saved = {name: run.folder(name) for name in attacks}
        study.log(board, attacks, release, features=run.path / "features", folders=saved)
        print(board)
        print(f"Images: {run.path / 'samples.png'}. Numbers: {run.path / 'scoreboard.json'}.")
    run.complete()
    if fi.processes.is_main():
        print(f"Report: {fi.report.write(run.path)} (it shows private images; `featinv report` can leave them out).")
        if config.defend:
            print(fi.defend.one_line(pairs, release, config.defend, seed=config.seed))


def announce(config: Config) -> None:
    """Say how long it will take, before anything starts."""
    trained = [settings.training for settings in config.attacks.values() if settings.attack.name == "DecoderAttack"]
    bounds = [config.minutes if config.minutes is not None else settings.minutes for settings in trained]
    minutes = [bound for bound in bounds if bound is not None]
    bound = f", at most {sum(minutes):.1f} minutes in all" if bounds and len(minutes) == len(bounds) else ""
    print(f"{len(config.attacks)} attacks, of which {len(trained)} are trained{bound}. {config.expected}", flush=True)


def fit(
    attack: "fi.types.Attack", name: str, pairs: "fi.Pairs", run: RunFolder, config: Config, study: "fi.tracking.Study"
) -> "fi.types.Attack":
    """Fit one attack and save it in its folder, or load it from there; a half-trained decoder resumes."""
    folder = run.folder(name)
    # The main process answers for all: another one may come to look only when this attack has just been saved.
    if fi.processes.broadcast((folder / "attack.json").is_file()):
        # What the command line named, the caller trusts.
        components = [part for settings in config.attacks.values() for part in (settings.attack, settings.decoder)]
        return fi.load_attack(folder, allow=[component.name for component in components if "." in component.name])
    if isinstance(attack, fi.attacks.DecoderAttack):
        checkpoints = fi.training.Checkpoints(run.path / "checkpoints" / folder.name, every_seconds=120)
        attack.fit(pairs, checkpoints=checkpoints, listener=study.listener(name, attack))
    elif fi.processes.is_main():
        attack.fit(pairs)
    if fi.processes.is_main():
        fi.save_attack(attack, folder)
        shutil.rmtree(run.path / "checkpoints" / folder.name, ignore_errors=True)
    fi.processes.barrier()
    return attack


if __name__ == "__main__":
    fi.command_line.run(main, Config, __doc__)
