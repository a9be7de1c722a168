"""The ablations that the paper only mentions, each against its own row: filters, mixing layer, image size, layer.

    accelerate launch recipes/paper/ablations.py --scale smoke --out runs/ablations-smoke
    accelerate launch recipes/paper/ablations.py --scale cpu --out runs/ablations
    accelerate launch recipes/paper/ablations.py \
        --config recipes/paper/ablations_cifar10.yaml --data DIR --weights DIR --out DIR
    accelerate launch recipes/paper/ablations.py --sizes "[32,64,128,256]" --out DIR    # not yet run: meant for a GPU

The paper's decoder is trained as the paper says (`Training.paper`). Layers are compared with `Upsampling` and AdamW on
standardised features, because `Listik` takes only vectors that 16 divides; its row at the pooled layer is the one that
the other layers compare with. Every decoder sees equally many training images. Leaves in --out: table.md, table.json,
run.json, and a folder a release (scoreboard.json, per_image.npz, one folder an attack). Called again after a kill it
goes on where it was; called again after its end it shows the table.
"""

import shutil
from typing import TYPE_CHECKING, Any

from ablation_cases import Case, attacks_on, fit, folders, images_of, victim_at
from ablation_settings import Config, command_of, settle
from ablation_table import rows_of, written

import featinv as fi
from featinv.assembly import RunFolder

if TYPE_CHECKING:
    from ablation_cases import Images

    from featinv.types import Attack


def main(config: Config) -> None:
    scale = settle(config)
    run = RunFolder(config.out, config)
    fi.processes.share_threads()
    layers = list(dict.fromkeys([config.pooled, *config.layers]))
    victims = {layer: victim_at(config, layer) for layer in layers}  # a wrong layer is said before anything is trained
    cases = [Case(size, layer) for size in scale.sizes for layer in (layers if size == scale.sizes[0] else layers[:1])]
    attacks = {case: attacks_on(case, victims[case.layer].feature_shape, config, scale) for case in cases}
    if fi.processes.is_main() and not run.finished:
        trained = sum(
            isinstance(attack, fi.attacks.DecoderAttack) for several in attacks.values() for attack in several.values()
        )
        print(f"{trained} decoders, {scale.images} training images each. {scale.time}", flush=True)
    # Images too small for a size are said before anything is trained, too.
    images = {size: images_of(size, config, scale, run) for size in scale.sizes}
    confirm_inputs(run, config, victims, images)
    if run.finished:
        if fi.processes.is_main():
            print(f"{run.path}: this configuration has run already; remove the folder to run it again.")
            print((run.path / "table.md").read_text())
        return
    boards = {}
    for case in cases:
        board = board_of(case, attacks.pop(case), victims[case.layer], images[case.size], config, run)
        if board is not None:
            boards[case] = board
    if fi.processes.is_main():
        rows = rows_of(boards, config.pooled)
        command = command_of(config)
        fi.files.write_json(run.path / "table.json", {"schema": 1, "command": command, "rows": rows})
        print(written(run.path / "table.md", rows, boards, f"{scale.images} training images each", command))
    run.complete()


def confirm_inputs(
    run: RunFolder, config: Config, victims: "dict[str, fi.Victim]", images: "dict[int, Images]"
) -> None:
    """Raise BadInput where images, victims or judges differ from those that the run began with."""
    inputs: dict[str, Any] = {"the version of featinv": fi.__version__}
    inputs |= {f"the victim at {layer}": victim.fingerprint for layer, victim in victims.items()}
    inputs |= {f"the images of {size} px": [public.fingerprint, private.fingerprint]
               for size, (public, private, _) in images.items()}  # fmt: skip
    run.must_be_of(inputs)
    if not run.finished:  # judges that are missing are trained now
        fi.assembly.build_judges(config.judges, next(iter(images.values()))[0], folders(config))
    run.must_be_of(fi.assembly.judges_of(fi.assembly.judge_fingerprints(config.judges, folders(config))))


def board_of(
    case: Case, attacks: "dict[str, Attack]", victim: "fi.Victim", images: "Images", config: Config, run: RunFolder
) -> "fi.Scoreboard | None":
    """Fit and score one release's attacks, or read what an earlier run left; None outside the main process."""
    path = run.folder(f"{case.size} px {case.layer}")
    # The main process answers for all: another one may come to look only when this board has just been saved.
    if fi.processes.broadcast((path / "scoreboard.json").is_file()):
        return fi.load_scoreboard(path)
    public, private, overlap = images
    judges = fi.assembly.build_judges(config.judges, public, folders(config))
    release = fi.release(victim, private, seed=config.seed)
    fi.evaluation.check_judges(judges, attacks, release, allow_sibling=False)
    pairs = fi.extract(victim, public, to=path / "features")
    fitted = {name: fit(attack, pairs, path / fi.files.folder_name(name)) for name, attack in attacks.items()}
    if not fi.processes.is_main():
        return None
    seconds = {name: attack.seconds for name, attack in fitted.items() if isinstance(attack, fi.attacks.DecoderAttack)}
    board = fi.compare(
        fitted, release, judges, galleries=(), seed=config.seed, public=public, overlap=overlap, fit_seconds=seconds
    )
    board.save(path)
    shutil.rmtree(path / "features")  # a map of a few thousand images is hundreds of megabytes
    return board


if __name__ == "__main__":
    fi.command_line.run(main, Config, __doc__)
