"""A finished comparison on a few images, as a recipe would leave it, with names that try to break a page."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from evaluation_parts import PoolJudge, blurred, mean_image, perfect, published, some_images

import featinv as fi
from featinv.evaluation import Scoreboard

NASTY = "<script>alert('x')<b> | [a](b) & *c*"


def compared(count: int = 40, seed: int = 0, **options: Any) -> tuple[Scoreboard, dict[str, Any], Any]:
    attacks = {"mean image": mean_image(), "blurred": blurred(), NASTY: perfect()}
    release = published(some_images(count, seed=seed))
    settings: dict[str, Any] = {"galleries": [10], "resamples": 100, "progress": False, **options}
    return fi.compare(attacks, release, [PoolJudge()], **settings), attacks, release


def finished(folder: Path, *, shown: bool = True, **options: Any) -> Scoreboard:
    """Write the folder of a run: scoreboard, record, the saved description of a trained attack, and images."""
    board, attacks, release = compared(**options)
    board.save(folder)
    machine = {"system": "Linux", "processor": "x86_64", "cores": 2, "accelerator": "cpu"}
    record = {"schema": 2, "finished": True, "seconds": 61.5, "processes": 1, "machine": machine}
    (folder / "run.json").write_text(json.dumps(record))
    history = [
        {
            "step": step,
            "images": 10.0 * step,
            "seconds": 2.0 * step,
            "train/loss": 1 / step,
            "train/loss/MSE": 1 / step,
        }
        for step in range(1, 6)
    ]
    history[-1]["val/psnr"] = 17.25
    saved = folder / "blurred"
    saved.mkdir()
    config = {"decoder": {"class": "featinv.decoders.Listik", "args": {}}, "objective": "MSE()", "history": history}
    (saved / "attack.json").write_text(json.dumps({"class": "featinv.attacks.DecoderAttack", "config": config}))
    if shown:
        exhibit = fi.report.choose_images(board, attacks, release)
        assert exhibit is not None
        exhibit.save(folder)
    return board


def rescored(board: Scoreboard, **changes: Any) -> Scoreboard:
    """The same scoreboard with other entries in its protocol."""
    return Scoreboard(board.victim, {**board.protocol, **changes}, board.attacks, board.per_image, board.leak_level)


def hits(board: Scoreboard, name: str, k: int) -> float:
    return float(np.mean(board.per_image[f"{name}/rank"] <= k))
