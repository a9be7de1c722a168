"""What each scale of the reproduction means, in numbers; nothing here imports torch."""

from dataclasses import dataclass

from featinv.configuration import Part
from featinv.errors import BadInput

TINY = Part("tiny")
SCENES_JUDGE = Part("judge", {"source": "scenes-vgg"})
RESNET50 = Part("torchvision", {"name": "resnet50", "weights": "IMAGENET1K_V1", "input_size": 224})
FILMED = (1, 10, 50, 100, 500, 1000, 2000, 4000, 6000)
"""the epochs that the paper's figure 1 shows"""


@dataclass(frozen=True)
class Scale:
    """Sizes and budgets of all five figures. `seen` counts training pictures seen by each model of figures 4 and 5."""

    photo_size: int
    size: int
    encoder: Part
    judge: Part
    films: tuple[int, ...]
    film_optimisers: tuple[str, ...]
    pair_epochs: int
    counts: tuple[int, ...]
    seen: tuple[int, ...]
    batch_size: int
    unseen: int
    attacks: tuple[str, ...]
    minutes: str = ""

    def __post_init__(self) -> None:
        if len(self.counts) != len(self.seen):
            got = f"{len(self.counts)} models, {len(self.seen)} budgets"
            raise BadInput(f"--counts, --seen: expected one budget a model, got {got}")
        if not self.counts or min(self.counts) < 2 or list(self.counts) != sorted(set(self.counts)):
            raise BadInput(f"--counts: expected rising numbers of at least 2 pictures, got {list(self.counts)}")


SCALES = {
    "smoke": Scale(
        photo_size=32,
        size=32,
        encoder=TINY,
        judge=SCENES_JUDGE,
        films=(1, 10, 50, 100),
        film_optimisers=("adadelta", "adamw"),
        pair_epochs=250,
        counts=(20, 60),
        seen=(1500, 1500),
        batch_size=30,
        unseen=60,
        attacks=("listik", "upsampling"),
        minutes="about a minute and a half on 2 cores",
    ),
    "cpu": Scale(
        photo_size=64,
        size=32,
        encoder=TINY,
        judge=SCENES_JUDGE,
        films=FILMED,
        film_optimisers=("adadelta", "adamw"),
        pair_epochs=4000,
        counts=(100, 1000, 10_000),
        seen=(60_000, 60_000, 60_000),
        batch_size=30,
        unseen=1000,
        attacks=("listik", "upsampling", "two surrogates"),
        minutes="about an hour on 2 cores",
    ),
    "gpu": Scale(
        photo_size=256,
        size=128,
        encoder=RESNET50,
        judge=SCENES_JUDGE,
        films=FILMED,
        film_optimisers=("adadelta", "adamw"),
        pair_epochs=4000,
        counts=(100, 1000, 10_000),
        seen=(400_000, 400_000, 400_000),
        batch_size=30,
        unseen=1000,
        attacks=("listik", "upsampling", "two surrogates"),
        minutes="meant for an hour on one modern GPU; not yet run",
    ),
    "paper": Scale(
        photo_size=256,
        size=256,
        encoder=RESNET50,
        judge=SCENES_JUDGE,
        films=FILMED,
        film_optimisers=("adadelta",),
        pair_epochs=4000,
        counts=(100, 1000, 10_000),
        seen=(400_000, 1_000_000, 10_000_000),
        batch_size=30,
        unseen=1000,
        attacks=("listik",),
        minutes="the author's own budgets: days on one GPU; not yet run",
    ),
}
