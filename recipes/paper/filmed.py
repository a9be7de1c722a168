"""Training the paper's decoder on one or two images, looked at on the way."""

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

import featinv as fi
from featinv.evaluation.judging import as_uint8
from featinv.files import read_json, write_json
from featinv.metrics import psnr, ssim

ADAMW = {"optimiser": "adamw", "lr": 5e-4, "weight_decay": 0.0, "clip": 1.0, "schedule": "cosine", "warmup": 0.02}
"""where the author's Adadelta is slow; the rate falls to 0 at the last epoch shown. Chosen on one photograph by eye"""


def training(optimiser: str, epochs: int, images: int) -> "fi.Training":
    """Return the author's settings with batches of all images, or the same with AdamW.

    Raises BadInput for another optimiser.
    """
    author = fi.Training.paper(images=epochs * images, batch_size=images)
    if optimiser not in ("adadelta", "adamw"):
        raise fi.BadInput(f"--film_optimisers: expected adadelta or adamw, got {optimiser!r}")
    return author if optimiser == "adadelta" else replace(author, **ADAMW)  # type: ignore[arg-type]


def film(
    pairs: "fi.Pairs",
    settings: "fi.Training",
    epochs: Sequence[int],
    folder: Path,
    study: "fi.tracking.Study | None" = None,
) -> "tuple[fi.attacks.DecoderAttack, list[dict[str, Any]]]":
    """Fit the decoder of the paper, and return it with what was seen at each epoch asked for; resumes.

    A row is {"epoch", "bce", "excess", "psnr", "ssim"}: means over the images, BCE in nats a channel, its excess over
    that of a perfect copy, PSNR in dB. The images themselves stand in `folder`, and `shown` reads them. `study` gets
    the learning curve, under the folder's name.
    """
    if fi.processes.broadcast((folder / "attack" / "attack.json").is_file()):
        done = fi.load_attack(folder / "attack")
        assert isinstance(done, fi.attacks.DecoderAttack)
        return done, read_json(folder / "rows.json")
    rows: list[dict[str, Any]] = read_json(folder / "rows.json") if (folder / "rows.json").is_file() else []
    features, truth = pairs.batch(range(len(pairs)))

    def take(attack: "fi.attacks.DecoderAttack", images_seen: int) -> None:
        images = attack.reconstruct(features)
        row: dict[str, Any] = {"epoch": images_seen // len(pairs), **score(images, truth)}
        rows[:] = [*(earlier for earlier in rows if earlier["epoch"] != row["epoch"]), row]
        if fi.processes.is_main():
            folder.mkdir(parents=True, exist_ok=True)
            _save(images, _file(folder, row["epoch"]))
            write_json(folder / "rows.json", rows)

    attack = fi.presets.listik(pairs.feature_shape, pairs.image_size, training=settings)
    attack.fit(
        pairs,
        checkpoints=fi.training.Checkpoints(folder / "checkpoints", every_seconds=120),
        listener=None if study is None else study.listener(folder.name, attack),
        snapshots=fi.training.Snapshots([epoch * len(pairs) for epoch in epochs], take),
    )
    if fi.processes.is_main():
        fi.save_attack(attack, folder / "attack")
        shutil.rmtree(folder / "checkpoints", ignore_errors=True)
    fi.processes.barrier()
    return attack, rows


def score(images: Tensor, truth: Tensor) -> dict[str, float]:
    """Return BCE, its excess over the entropy of the pixels, PSNR and SSIM, as means over images."""
    bce = float(fi.losses.BCE()(images, truth).mean())
    floor = float(fi.losses.bce_floor(truth).mean())
    return {
        "bce": bce,
        "excess": bce - floor,
        "psnr": float(psnr(images, truth).mean()),
        "ssim": float(ssim(images, truth).mean()),
    }


def shown(folder: Path, epoch: int) -> Tensor:
    """Return the reconstructions (B, 3, S, S) of an epoch that was looked at, as 8 bits keep them."""
    with Image.open(_file(folder, epoch)) as strip:
        images = torch.from_numpy(np.asarray(strip.convert("RGB")).copy()).permute(2, 0, 1).float() / 255
    return torch.stack(images.split(images.shape[1], dim=2))


def _save(images: Tensor, path: Path) -> None:
    with fi.files.atomic_file(path) as temporary:
        Image.fromarray(np.concatenate(as_uint8(images), axis=1)).save(temporary, format="PNG")


def _file(folder: Path, epoch: int) -> Path:
    return folder / f"epoch_{epoch:06d}.png"
