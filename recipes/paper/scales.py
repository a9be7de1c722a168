"""What each scale of the reproduction means, in numbers; nothing here imports torch."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from featinv.configuration import Component
from featinv.errors import BadInput

RESNET50 = Component("torchvision", {"name": "resnet50", "weights": "IMAGENET1K_V1", "input_size": 224})
OWN_JUDGE = Component("judge", {"source": "{weights}/judge.safetensors"})
"""recipes/train_judge.py makes one of any labelled folder; the packaged ones know no photographs"""
FILMED = (1, 10, 50, 100, 500, 1000, 2000, 4000, 6000)
"""the epochs that the paper's figure 1 shows"""


@dataclass(frozen=True)
class Scale:
    """Sizes and budgets of all five figures, as the flags of run.py explain them."""

    photo_size: int
    size: int
    encoder: Component
    judge: Component
    films: tuple[int, ...]
    film_optimisers: tuple[str, ...]
    pair_epochs: int
    counts: tuple[int, ...]
    seen: tuple[int, ...]
    distilled: int
    unseen: int
    attacks: tuple[str, ...]
    second_judge: Component | None = None

    def __post_init__(self) -> None:
        if len(self.counts) != len(self.seen):
            got = f"{len(self.counts)} models, {len(self.seen)} budgets"
            raise BadInput(f"--counts, --seen: expected one budget a model, got {got}")
        if not self.counts or min(self.counts) < 2 or list(self.counts) != sorted(set(self.counts)):
            raise BadInput(f"--counts: expected rising numbers of at least 2 images, got {list(self.counts)}")


SMOKE = Scale(
    photo_size=32,
    size=32,
    encoder=Component("tiny"),
    judge=Component("judge", {"source": "scenes-vgg"}),
    films=(1, 10, 50, 100),
    film_optimisers=("adadelta", "adamw"),
    pair_epochs=250,
    counts=(20, 60),
    seen=(1500, 1500),
    distilled=100_000,
    unseen=60,
    attacks=("listik", "upsampling"),
)
CPU = replace(
    SMOKE,
    photo_size=64,
    films=FILMED,
    pair_epochs=4000,
    counts=(100, 1000, 10_000),
    seen=(60_000, 60_000, 60_000),
    unseen=1000,
    attacks=("listik", "upsampling", "two surrogates"),
)
GPU = replace(
    CPU,
    photo_size=256,
    size=128,
    encoder=RESNET50,
    judge=OWN_JUDGE,
    seen=(400_000, 400_000, 400_000),
)
PAPER = replace(
    GPU,
    size=256,
    film_optimisers=("adadelta",),
    seen=(400_000, 1_000_000, 10_000_000),
    attacks=("listik",),
)
SCALES = {"smoke": SMOKE, "cpu": CPU, "gpu": GPU, "paper": PAPER}

EXPECTED = {
    "smoke": "under two minutes on 2 cores",
    "cpu": "about an hour on 2 cores",
    "gpu": "meant for an hour on one modern GPU, not yet run",
    "paper": "the author's own budgets, days on one GPU, not yet run",
}
"""how long all five figures take, in words"""


def scale_of(name: str, given: Mapping[str, Any]) -> Scale:
    """Return the scale of this name, with what is given and not None in place of its own numbers.

    Raises BadInput for a name that is none. Other counts without budgets have the scale's largest one each.
    """
    if name not in SCALES:
        raise BadInput(f"--scale: expected one of {', '.join(SCALES)}, got {name!r}")
    own = {item.name: given[item.name] for item in fields(Scale) if given.get(item.name) is not None}
    if "counts" in own and "seen" not in own:
        own["seen"] = (max(SCALES[name].seen),) * len(own["counts"])
    return replace(SCALES[name], **own)
