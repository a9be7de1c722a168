"""What a release must satisfy: a bound on re-identification, and one on utility (nothing here imports torch)."""

import math
import re
from dataclasses import dataclass
from typing import final

from featinv.errors import BadInput

MEASURES = ("probe", "20-NN", "head", "class mAP@50", "recall@10")
"""utilities that can be demanded; the first one is meant where none is named"""
CLASS_MEASURES = MEASURES[:4]
"""those that need labels"""
_POLICY = re.compile(r"top-?([1-9]\d{0,5})\s*(?:<=|≤)\s*(\S+?)(\s*%)?")
_KEEP = re.compile(r"(?:(.+?)\s*(?:>=|≥)\s*)?([^\s%<>=]+?)(\s*%)?")


@final
@dataclass(frozen=True)
class Policy:
    """At most `share` of the images may have their original among the first `k` candidates."""

    k: int
    share: float

    @classmethod
    def parse(cls, text: str) -> "Policy":
        """Return what `top10<=10%` or `top1<=0.05` says. Raises BadInput for anything else, and outside 0 to 1."""
        match = _POLICY.fullmatch(text.strip().lower())
        share = None if match is None else _share(match[2], percent=match[3] is not None)
        if match is None or share is None or share >= 1:
            raise BadInput(f"--policy: expected topK<=P%, with P above 0 and below 100, e.g. top10<=10%, got {text!r}")
        return cls(int(match[1]), share)

    def __str__(self) -> str:
        return f"top{self.k}<={100 * self.share:g}%"

    def check_gallery(self, size: int) -> None:
        """Raise BadInput where guessing among `size` candidates already exceeds the policy: nothing could meet it."""
        if self.k / size > self.share:
            raise BadInput(
                f"--policy: {self} cannot be met among {size:,} candidates, because guessing finds "
                f"{percent(min(1.0, self.k / size))} %; give more vectors (--features, --gallery) or another policy"
            )


@final
@dataclass(frozen=True)
class Keep:
    """At least `share` of the undefended vectors' utility must be left, by one measure."""

    measure: str
    share: float

    @classmethod
    def parse(cls, text: str) -> "Keep | None":
        """Return what `98%`, `0.98`, `recall@10>=50%` or `none` says. Raises BadInput for anything else."""
        if text.strip().lower() == "none":
            return None
        match = _KEEP.fullmatch(text.strip())
        names = {name.lower(): name for name in MEASURES}
        measure = None if match is None else names.get((match[1] or MEASURES[0]).strip().lower())
        share = None if match is None else _share(match[2], percent=match[3] is not None)
        if measure is None or share is None:
            raise BadInput(
                f"--keep: expected P% or MEASURE>=P%, with P above 0 and at most 100 and MEASURE one of "
                f"{', '.join(MEASURES)}, or none, got {text!r}"
            )
        return cls(measure, share)

    def __str__(self) -> str:
        return f"{self.measure}>={100 * self.share:g}%"


def percent(share: float) -> str:
    """Return a share in percent, with as many digits as tell it from its neighbours: 0.3, 24.5, 100."""
    value = 100 * share
    return f"{value:.2g}" if value < 1 else f"{value:.1f}".removesuffix(".0")


def _share(text: str, *, percent: bool) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    value = value / 100 if percent else value
    return value if math.isfinite(value) and 0 < value <= 1 else None
