"""Scoreboards of simulated numbers per image: what attacks know is then known beforehand."""

from typing import Any

import numpy as np

from featinv.evaluation import AttackScore, Scoreboard

VIEWS = ("low-pass", "jpeg 75", "shift")


def protocol(count: int, **changes: Any) -> dict[str, Any]:
    judge = {"name": "judge", "family": "vgg", "trained_on": "", "fingerprint": "", "sibling": False}
    metadata = {
        "seed": 0,
        "resamples": 100,
        "gallery": count,
        "galleries": [],
        "judges": [judge],
        "private": {"count": count, "size": 32, "fingerprint": "private"},
        "public": {"count": 5000, "size": 32, "fingerprint": "public"},
        "treated_originals": {
            view: {"reid_top1": {"mean": 1.0, "low": 1.0, "high": 1.0, "n": count}} for view in VIEWS
        },
    }
    return {**metadata, **changes}


def row(name: str, kind: str = "attack") -> AttackScore:
    return AttackScore(name, kind, kind, {}, seconds=60.0, parameters=1000)


def board(attacks: dict[str, dict[str, np.ndarray]], kinds: dict[str, str] | None = None, **changes: Any) -> Scoreboard:
    """A scoreboard of given arrays: {row: {"psnr": ..., "rank/low-pass": ...}}."""
    count = len(next(iter(next(iter(attacks.values())).values())))
    rows = tuple(row(name, (kinds or {}).get(name, "attack")) for name in attacks)
    arrays = {f"{name}/{key}": values for name, columns in attacks.items() for key, values in columns.items()}
    clusters = changes.pop("clusters", None)
    if clusters is not None:
        arrays["clusters"] = clusters
    return Scoreboard({"name": "victim"}, protocol(count, **changes), rows, arrays)


def simulated(
    generator: np.random.Generator,
    *,
    count: int = 1000,
    classes: int = 10,
    quality: float = 0.0,
    gain: float = 0.0,
    found: float = 0.0,
    agreement: float = 0.0,
    within: float = 0.0,
    views: tuple[str, ...] = VIEWS,
    perceptual: bool = True,
    hardness: np.ndarray | None = None,
) -> dict[str, np.ndarray]:
    """One attack's numbers of `count` images.

    `quality` (dB) is its prior and serves mismatched features as well; `gain` (dB) comes from the right vector. A share
    `found` of images gets rank 1 in every view, a share `agreement` the label, beside those that guessing gives.
    `within` moves the normalised rank within the class up by so much on average.
    """
    hard = generator.normal(0, 2, count) if hardness is None else hardness
    arrays: dict[str, np.ndarray] = {}
    for view, extra in (("", gain), ("mismatched features", 0.0)):
        suffix = f"/{view}" if view else ""
        psnr = 12 + quality + extra + hard + generator.normal(0, 1, count)
        arrays[f"psnr{suffix}"] = psnr.astype(np.float32)
        arrays[f"mse{suffix}"] = (10 ** (-psnr / 10)).astype(np.float32)
        ssim = 0.02 * (psnr - 12) + generator.normal(0, 0.05, count)
        arrays[f"ssim{suffix}"] = ssim.astype(np.float32)
        if perceptual:
            worse = 0.5 - 0.02 * (quality + extra) + generator.normal(0, 0.1, count)
            arrays[f"lpips{suffix}"] = worse.astype(np.float32)
    known, seen = generator.random(count) < found, generator.random(count) < agreement
    position = generator.random(count)
    for view in ("", *views, "mismatched features"):
        suffix = f"/{view}" if view else ""
        # Views of one reconstruction agree for the most part.
        look = np.where(generator.random(count) < 0.8, position, generator.random(count))
        if view == "mismatched features":
            look, known, seen = generator.random(count), np.zeros(count, bool), np.zeros(count, bool)
        rank = 1 + np.floor(look * count).astype(np.int32)
        arrays[f"rank{suffix}"] = np.where(known, 1, rank).astype(np.int32)
        arrays[f"judge_agreement{suffix}"] = seen | (generator.random(count) < 1 / classes)
        if view in views:
            arrays[f"judge_agreement/mismatched features ({view})"] = generator.random(count) < 1 / classes
        if view != "mismatched features":
            inside = f"/within class, {view}" if view else "/within class"
            auc = 1 - look if within == 0 else 1 - look ** ((0.5 + within) / (0.5 - within))
            arrays[f"reid_auc{inside}"] = auc.astype(np.float32)
    return arrays
