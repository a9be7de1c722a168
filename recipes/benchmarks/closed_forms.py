"""Attacks of the audit's suite over the length of the vectors and the number of pairs: does any row break down?

    FEATINV_THREADS=1 python recipes/benchmarks/closed_forms.py --public CIFAR10/train --private CIFAR10/test \
        --resnet20 resnet20.safetensors --resnet56 resnet56.safetensors --out OUT

Four kinds of vectors of CIFAR-10's images: ResNet-20's pooled 64 numbers, its second stage in 4 x 4 cells (512), its
third and first stage in 4 x 4 cells (1,024 + 256), and ResNet-56's second stage in 8 x 8 cells (2,048); and 2,048
random numbers, which tell nothing of the image. Of each number of public pairs the mean PSNR on the same private
images, and its difference from the mean image with a paired 95 % interval. Attacks are those of an audit's suite and
the recoloured neighbour, with their defaults there; `--attacks "[mean image, pixels, listik]" --minutes 1` measures
those that are trained. Writes closed_forms.json and a Markdown table.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

import featinv as fi
from featinv.audit.suite import NEIGHBOURS, RANDOM_FEATURES, SUITE, distillation
from featinv.audit.suite_entry import Materials, most_images

CLOSED: dict[str, Callable[[], Any]] = {
    "mean image": fi.attacks.MeanImage,
    "nearest neighbour": fi.attacks.NearestNeighbour,
    "recoloured neighbour": fi.attacks.RecolouredNeighbour,
    f"{NEIGHBOURS} neighbours averaged": lambda: fi.attacks.NeighbourAverage(k=NEIGHBOURS),
    "ridge": fi.attacks.Ridge,
    "random features": lambda: fi.attacks.RandomFourier(count=RANDOM_FEATURES),
    "4 neighbours averaged": lambda: fi.attacks.NeighbourAverage(k=4),
    "64 neighbours averaged": lambda: fi.attacks.NeighbourAverage(k=64),
}
USUAL = tuple(CLOSED)[:6]
TRAINED = {entry.name: entry for entry in SUITE if entry.share and entry.name != "through the victim"}
VECTORS = {
    "64": (20, (("avgpool", 1),)),
    "512": (20, (("layer2", 4),)),
    "1,280": (20, (("layer3", 4), ("layer1", 4))),
    "2,048": (56, (("layer2", 8),)),
    "2,048 random": (0, ()),
}
"""depth of the ResNet, and its layers with the cells a side to which their maps are averaged; 0: random numbers"""
RANDOM = 2048


@dataclass(frozen=True)
class Config:
    """What to measure."""

    public: str
    """the attacker's images, one folder a class"""
    private: str
    """the images that are scored"""
    resnet20: str
    """weights of the CIFAR ResNet-20"""
    resnet56: str
    """weights of the CIFAR ResNet-56"""
    out: str
    """folder of the results"""
    counts: tuple[int, ...] = (300, 1000, 3000, 10_000, 50_000)
    """public pairs: the first ones of one seeded order, so that the smaller sets are parts of the larger"""
    attacks: tuple[str, ...] = USUAL
    """of `CLOSED` and `TRAINED`; the others are held against the first one"""
    minutes: float = 1
    """for each attack that is trained, its networks included"""
    scored: int = 1000
    """private images, drawn by the seed"""
    seed: int = 0
    """of the orders and of the bootstrap"""


def main(config: Config) -> None:
    """Measure every attack on every kind of vectors and number of pairs, and write both files as they grow."""
    if unknown := [name for name in config.attacks if name not in {**CLOSED, **TRAINED}]:
        raise fi.BadInput(f"attacks: expected some of {', '.join([*CLOSED, *TRAINED])}, got {unknown[0]!r}")
    public, private = (_drawn(folder, config) for folder in (config.public, config.private))
    public = public.take(range(min(max(config.counts), len(public))))
    private = private.take(range(min(config.scored, len(private))))
    out = Path(config.out)
    out.mkdir(parents=True, exist_ok=True)
    rows: list[dict[str, Any]] = []
    for name, (depth, layers) in VECTORS.items():
        weights = config.resnet20 if depth == 20 else config.resnet56
        vectors, released = (_vectors(weights, depth, layers, images) for images in (public, private))
        for count in (count for count in config.counts if count <= len(public)):
            pairs = fi.Pairs(vectors[:count], public.take(range(count)))
            rows += _measured(pairs, released, private, config, {"vectors": name, "pairs": count})
            fi.files.write_json(out / "closed_forms.json", {"seed": config.seed, "rows": rows})
            (out / "closed_forms.md").write_text(_table(rows, config.attacks), encoding="utf-8")


def _drawn(folder: str, config: Config) -> "fi.data.ImageSet":
    images = fi.data.folder(folder, size=32)
    return images.take(np.random.default_rng(config.seed).permutation(len(images)))


@torch.no_grad()
def _vectors(
    weights: str, depth: int, layers: tuple[tuple[str, int], ...], images: "fi.data.ImageSet"
) -> "np.ndarray[Any, Any]":
    if not depth:  # another seed on each side
        return np.random.default_rng(1 + len(images)).normal(size=(len(images), RANDOM)).astype(np.float32)
    parts = []
    for layer, cells in layers:
        encoder = fi.encoders.cifar_resnet(weights, depth=depth, layer=layer)
        blocks = []
        for start in range(0, len(images), 500):
            maps = encoder(images.batch(np.arange(start, min(start + 500, len(images)))))
            blocks.append(maps if maps.ndim == 2 else F.adaptive_avg_pool2d(maps, cells).flatten(1))
        parts.append(torch.cat(blocks))
    return torch.cat(parts, 1).numpy()


def _measured(
    pairs: "fi.Pairs",
    released: "np.ndarray[Any, Any]",
    private: "fi.data.ImageSet",
    config: Config,
    labels: dict[str, Any],
) -> list[dict[str, Any]]:
    originals = private.batch(np.arange(len(private)))
    rows: list[dict[str, Any]] = []
    first: np.ndarray[Any, Any] | None = None
    for name in config.attacks:
        started = time.process_time()
        attack = _unfitted(name, pairs, config).fit(pairs)
        seconds = time.process_time() - started
        psnr = fi.metrics.psnr(attack.reconstruct(torch.from_numpy(released)), originals).numpy()
        first = psnr if first is None else first
        gap = fi.evaluation.paired(psnr, first, seed=config.seed)
        rows.append({**labels, "attack": name, "psnr": float(psnr.mean()), "gap": [gap.mean, gap.low, gap.high]})
        rows[-1] |= {"seconds": round(seconds, 1), "chosen": getattr(attack, "chosen", None)}
        print(f"{labels} {name}: {psnr.mean():.2f} dB, {gap.mean:+.2f} [{gap.low:+.2f}, {gap.high:+.2f}]", flush=True)
    return rows


def _unfitted(name: str, pairs: "fi.Pairs", config: Config) -> Any:
    """A closed form, or an attack as an audit of so many minutes would train it."""
    if name in CLOSED:
        return CLOSED[name]()
    entry = TRAINED[name]
    networks = config.minutes * entry.distilling
    training = entry.settings(pairs, None, config.minutes - networks, config.seed)
    surrogates = None
    if networks:
        each = distillation(most_images(len(pairs)), len(pairs), networks / len(entry.networks.files), seed=config.seed)
        surrogates = tuple(encoder for encoder, _ in entry.networks.train(pairs, each))
    return entry.build(Materials(pairs, surrogates=surrogates, seed=config.seed), training)


def _table(rows: list[dict[str, Any]], attacks: tuple[str, ...]) -> str:
    lines = [f"| vectors, pairs | {' | '.join(attacks)} |", "|---" * (len(attacks) + 1) + "|"]
    for key in dict.fromkeys((row["vectors"], row["pairs"]) for row in rows):
        cells = []
        for row in (row for row in rows if (row["vectors"], row["pairs"]) == key):
            gap = "" if row["attack"] == attacks[0] else " ({:+.2f} [{:+.2f}, {:+.2f}])".format(*row["gap"])
            cells.append(f"{row['psnr']:.2f}{gap}")
        lines.append(f"| {key[0]}-d, {key[1]:,} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    fi.command_line.run(main, Config, __doc__)
