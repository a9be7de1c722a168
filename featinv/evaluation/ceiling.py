"""The ceiling of re-identification: what no attack on one released vector can exceed in a closed gallery.

Ranking the candidates by p(release | candidate's clean vector) is the best decision there is under a uniform prior
(Bayes), and a reconstruction is a function of the release (data processing): no attack that looks at one vector at a
time finds more, whatever its judge. An attacker who assigns all released vectors at once, or has several releases of an
image, is not covered.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np
import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor, nn

from featinv.defences import Identity, known_release, parts
from featinv.defences.defence import row_groups
from featinv.defences.likelihood import KnownRelease
from featinv.errors import BadInput
from featinv.evaluation.attack_score import interval_json
from featinv.evaluation.ceiling_bounds import Bound, bounds_of
from featinv.evaluation.ceiling_text import UNKNOWN
from featinv.evaluation.intervals import Clusters, Interval, mean_rate
from featinv.evaluation.likelihood_check import check_likelihood
from featinv.evaluation.reidentification import chance_top, check_gallery, gallery_blocks
from featinv.plain_numbers import check_seed
from featinv.processes import seeded

DRAWS = 20
"""Draws of a random defence that a ceiling is the mean of."""
_TIE = 1e-9
"""Log likelihoods closer than this, relative to their size, are ties: equal candidates tie whatever the rounding."""
_KEPT_NUMBERS = 2**25
"""Numbers of all candidates up to which what depends on them alone is computed once for all draws (256 MiB)."""
_CELLS = 2**22
"""Entries of one block of likelihoods (32 MiB in float64)."""


@final
@dataclass(frozen=True, eq=False)
class Ceiling:
    """The best possible top-k re-identification of a release, by size of the gallery.

    `intervals[k, size]` is its mean over images and draws with a Wilson interval, `per_image[k, size]` the probability
    (N,) with which each image is found, ties broken at random. Both are empty where the likelihood is not known.
    `exact` says that they are the ceiling itself; otherwise they are that of the chain up to `of`, which the parts
    after it can only lower. `bounds` hold without any likelihood. `draws` is 1 for a defence without noise.
    """

    intervals: dict[tuple[int, int], Interval]
    per_image: dict[tuple[int, int], Float64[np.ndarray, " N"]]
    bounds: tuple[Bound, ...]
    draws: int
    exact: bool
    of: str

    @property
    def known(self) -> bool:
        """Whether the likelihood of the release is known."""
        return bool(self.intervals)

    def upper(self, k: int, size: int) -> float | None:
        """Return the least upper limit of top-k among `size` candidates; None: no ceiling known."""
        limits = [bound.value for bound in self.bounds if (bound.k, bound.size) == (k, size)]
        if (k, size) in self.intervals:
            limits.append(self.intervals[k, size].high)
        return min(limits, default=None)

    def __str__(self) -> str:
        if not self.known:
            return UNKNOWN
        return "; ".join(
            f"top-{k} of {size:,}: {100 * interval.mean:.3g} % (at most {100 * interval.high:.3g} %)"
            for (k, size), interval in self.intervals.items()
        )

    def as_json(self) -> dict[str, Any]:
        """Return the ceiling in the public shape of `scoreboard.json`."""
        return {
            "known": self.known,
            "exact": self.exact,
            "of": self.of,
            "draws": self.draws,
            "rates": [
                {"k": k, "size": size, **interval_json(interval)} for (k, size), interval in self.intervals.items()
            ],
            "bounds": [bound.as_json() for bound in self.bounds],
        }


def reidentification_ceiling(
    defence: nn.Module,
    clean: Float[np.ndarray, "N ..."] | Float[Tensor, "N ..."],
    *,
    galleries: Sequence[int] = (),
    top: Sequence[int] = (1, 10),
    draws: int = DRAWS,
    seed: int = 0,
    clusters: Clusters | None = None,
) -> Ceiling:
    """Return the ceiling of top-k re-identification for `clean` private vectors (N, D) released through `defence`.

    `galleries` are sizes (none: all N); a smaller one is cut as the scoreboard cuts it with the same `seed`. A defence
    with noise is drawn `draws` times anew. With `clusters`, each counts as one image. Where the likelihood of the whole
    chain is not known, that of its first parts is used if it says anything (`Ceiling.exact` is then false).

    Raises BadInput for a gallery larger than N, fewer than 20 draws, features that are not finite, and a
    likelihood that is not one (`check_likelihood`).
    """
    vectors = torch.as_tensor(clean).detach().float().cpu()
    count, seed = len(vectors), check_seed("ceiling: seed", seed)
    sizes = tuple(galleries) or (count,)
    for size in sizes:
        check_gallery(size, count)
    if draws < DRAWS:
        raise BadInput(f"draws: expected at least {DRAWS}, so that the mean is not one draw's luck, got {draws}")
    if not bool(vectors.isfinite().all()):
        raise BadInput("ceiling: expected finite vectors, got NaN or infinity; leave such rows out")
    bounds = bounds_of(defence, count, sizes, top)
    members = parts(defence) or [Identity()]
    prefix = _longest_known(members)
    if prefix is None:
        return Ceiling({}, {}, bounds, 0, False, "")
    length, release = prefix
    per_image = _success(release, vectors, sizes, top, draws, seed)
    exact = length == len(members)
    if not exact and all(float(values.min()) == 1 for values in per_image.values()):
        return Ceiling({}, {}, bounds, 0, False, "")  # a first part that hides nothing says nothing of the rest
    intervals = {
        (k, size): mean_rate(values, clusters=clusters, chance=chance_top(k, size))
        for (k, size), values in per_image.items()
    }
    of = " + ".join(repr(part) for part in members[:length])
    return Ceiling(intervals, per_image, bounds, draws if release.noise is not None else 1, exact, of)


def _longest_known(members: Sequence[nn.Module]) -> tuple[int, KnownRelease] | None:
    """Return how many first parts have a known likelihood together, and what is known of them; None for none."""
    for length in range(len(members), 0, -1):
        release = known_release(nn.Sequential(*members[:length]))
        if release is not None:
            return length, release
    return None


@torch.no_grad()
def _success(
    release: KnownRelease, clean: Tensor, sizes: Sequence[int], top: Sequence[int], draws: int, seed: int
) -> dict[tuple[int, int], Float64[np.ndarray, " N"]]:
    """Return the probability that the best ranking puts each image among the first k, for all k and sizes."""
    mapped = release.mapping(clean)
    total = {(k, size): np.zeros(len(clean)) for size in sizes for k in top}
    if release.noise is None:
        groups = row_groups(mapped.flatten(1).numpy())
        for size in sizes:
            for scored, block in _galleries(len(clean), size, seed):
                _, group, ties = np.unique(groups[block], return_inverse=True, return_counts=True)
                for k in top:
                    total[k, size][block[:scored]] = np.minimum(1.0, k / ties[group.reshape(-1)[:scored]])
        return total
    check_likelihood(release, mapped, seed)
    galleries = [(size, *gallery) for size in sizes for gallery in _galleries(len(clean), size, seed)]
    numbers = len(sizes) * mapped.numel()
    scorers = [release.scorer(mapped[block]) for _, _, block in galleries if numbers <= _KEPT_NUMBERS]
    for draw in range(draws):
        with seeded(seed, draw):
            released: Any = release.noise(mapped)
        for place, (size, scored, block) in enumerate(galleries):
            scorer = scorers[place] if scorers else release.scorer(mapped[block])
            better, ties = _standing(scorer, released[block[:scored]], size, repr(release.noise))
            for k in top:
                total[k, size][block[:scored]] += np.clip((k - better) / ties, 0.0, 1.0) / draws
    return {key: np.minimum(values, 1.0) for key, values in total.items()}


def _standing(
    scorer: Callable[[Tensor], Tensor], released: Tensor, count: int, name: str
) -> tuple[Int64[np.ndarray, " B"], Int64[np.ndarray, " B"]]:
    """Return how many candidates are likelier than the truth of each row, and how many as likely (itself included).

    Row i is a release of candidate i of `count`.
    """
    better, tied = [], []
    step = max(1, _CELLS // count)
    for start in range(0, len(released), step):
        likelihood = scorer(released[start : start + step]).double().cpu().numpy()
        own = np.arange(len(likelihood))
        truth = likelihood[own, start + own][:, None]
        if not np.isfinite(truth).all() or np.isnan(likelihood.min()):
            raise BadInput(
                f"likelihood of {name}: expected a finite log density of the true vector, got NaN or "
                "infinity; correct log_likelihood"
            )
        near = _TIE * np.maximum(1.0, np.abs(truth))
        better.append((likelihood > truth + near).sum(axis=1))
        tied.append((likelihood >= truth - near).sum(axis=1) - better[-1])
    return np.concatenate(better), np.concatenate(tied)


def _galleries(count: int, size: int, seed: int) -> list[tuple[int, Int64[np.ndarray, " G"]]]:
    """Return the galleries of `size`, each with how many of its first images are scored there."""
    if size == count:
        return [(count, np.arange(count))]
    return [(scored, block) for block, scored in gallery_blocks(count, size, seed)]
