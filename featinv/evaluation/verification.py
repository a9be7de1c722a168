"""Are reconstructions accepted as the person? Verification (TAR at FAR) and identification (cumulative match curve).

Type I compares a reconstruction with its own original, type II with another image of the same person (Mai et al. 2018,
arXiv 1703.00832).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import final

import numpy as np
from jaxtyping import Bool, Float, Float64, Int64, Shaped

from featinv.errors import BadInput
from featinv.evaluation.intervals import Interval, cluster_ids, rate
from featinv.evaluation.people import People
from featinv.evaluation.reidentification import NOTHING, TIE, centred_directions

FARS = {"1e3": 1e-3, "1e2": 1e-2}
"""The false accept rates of the metrics, by what their names end in."""
TOP = (1, 10)
_CELLS = 2**22
_PAIRS = 2**16


def threshold_at(impostors: Float[np.ndarray, " M"], far: float) -> float:
    """Return the lowest score above which at most a share `far` of the impostor scores (M,) lies.

    A score counts as accepted where it is above the threshold; ties with it are not, which counts against the attacker.
    Raises BadInput for fewer than 1/far scores and a rate outside 0 to 1.
    """
    allowed = _allowed(len(impostors), far)
    return float(np.partition(impostors, len(impostors) - 1 - allowed)[len(impostors) - 1 - allowed])


def true_accept_rate(genuine: Float[np.ndarray, " G"], impostors: Float[np.ndarray, " M"], far: float) -> float:
    """Return the share of genuine scores (G,) that are accepted at a false accept rate of `far` (TAR at FAR).

    Raises BadInput as `threshold_at`.
    """
    return float((genuine > threshold_at(impostors, far)).mean())


def cumulative_match(ranks: Int64[np.ndarray, " N"], size: int) -> Float64[np.ndarray, " size"]:
    """Return the share of probes whose person is among the first 1, 2, ..., `size` candidates (the CMC curve)."""
    return np.cumsum(np.bincount(ranks, minlength=size + 1)[1 : size + 1]) / len(ranks)


@final
@dataclass(frozen=True, eq=False)
class Matcher:
    """A judge as a matcher of people: cosines of its features centred on the originals' mean, in float64.

    `thresholds` are set on pairs of originals of different people, as a matcher is set in use; they know no attack.
    """

    people: People
    mean: Float64[np.ndarray, " D"]
    floor: float
    originals: Float64[np.ndarray, "N D"]
    thresholds: dict[str, float]

    @classmethod
    def prepare(cls, originals: Shaped[np.ndarray, "N D"], people: People) -> "Matcher":
        """Set the thresholds that the number of pairs allows."""
        mean = originals.mean(axis=0, dtype=np.float64)
        floor = NOTHING * float(np.linalg.norm(mean))
        directions = centred_directions(originals - mean, floor)
        fars = {name: far for name, far in FARS.items() if people.reason_against(far) is None}
        allowed = {name: _allowed(people.impostors, far) for name, far in fars.items()}
        highest = _highest_impostors(directions, people.member, max(allowed.values(), default=0) + 1)
        thresholds = {name: float(highest[most]) + TIE for name, most in allowed.items()}
        return cls(people, mean, floor, directions, thresholds)

    def directions(self, features: Shaped[np.ndarray, "N D"]) -> Float64[np.ndarray, "N D"]:
        """Return features as this matcher compares them; a row that is not finite matches nothing."""
        sound = np.isfinite(features).all(axis=1, keepdims=True)
        return centred_directions(np.where(sound, features, self.mean) - self.mean, self.floor)

    def own_scores(self, probes: Float64[np.ndarray, "N D"]) -> Float64[np.ndarray, " N"]:
        """Return each probe's score with its own original (type I)."""
        return (probes * self.originals).sum(axis=1)

    def pair_scores(self, probes: Float64[np.ndarray, "N D"]) -> Float64[np.ndarray, " K"]:
        """Return the score of each pair of a probe and another image of its person (type II)."""
        pairs = self.people.pairs
        blocks = [pairs[start : start + _PAIRS] for start in range(0, len(pairs), _PAIRS)]
        scores = [(probes[block[:, 0]] * self.originals[block[:, 1]]).sum(axis=1) for block in blocks]
        return np.concatenate(scores) if scores else np.zeros(0)

    def false_accepts(self, probes: Float64[np.ndarray, "N D"], far: str) -> Float64[np.ndarray, " N"]:
        """Return the share of other people's originals that each probe is accepted as."""
        member, threshold = self.people.member, self.thresholds[far]
        result = np.zeros(len(probes))
        for rows, scores in _score_blocks(probes, self.originals):
            others = member[rows][:, None] != member
            result[rows] = ((scores > threshold) & others).sum(axis=1) / np.maximum(1, others.sum(axis=1))
        return result

    def ranks(
        self, probes: Float64[np.ndarray, "N D"], *, own: bool, size: int | None = None, seed: int = 0
    ) -> Int64[np.ndarray, " N"]:
        """Return the rank of each probe's person among people, each with one image in the gallery; ties count against.

        The person's own entry is the probe's original (`own`), else another image of that person; a probe whose person
        has no other gets 0. With `size` people are cut into disjoint galleries, as in `featinv.evaluation.ranks`.
        """
        member, entries = self.people.member, self.people.entries
        every = np.arange(len(member))
        enrolled = every if own else np.where(entries[member, 0] != every, entries[member, 0], entries[member, 1])
        result = np.zeros(len(member), dtype=np.int64)
        for block, scored in self.people.blocks(size, seed):
            asked = np.flatnonzero(np.isin(member, block[:scored]) & (own | self.people.with_others))
            gallery = self.originals[entries[block, 0]]
            for rows, scores in _score_blocks(probes[asked], gallery):
                chosen = asked[rows]
                true = (probes[chosen] * self.originals[enrolled[chosen]]).sum(axis=1)
                others = block != member[chosen][:, None]
                result[chosen] = 1 + ((scores >= true[:, None] - TIE) & others).sum(axis=1)
        return result


def verification(
    reconstructed: Shaped[np.ndarray, "N D"],
    originals: Shaped[np.ndarray, "M E"],
    clusters: Sequence[object] | Shaped[np.ndarray, " K"],
    *,
    probes: Sequence[int] | Shaped[np.ndarray, "..."] | None = None,
    seed: int = 0,
) -> dict[str, Interval]:
    """Return TAR at FAR and the cumulative match rates of features (N, D) of reconstructions and their originals.

    `clusters` names the person of each original; row i of both is one image. With `probes`, distinct rows of the
    originals, only these were reconstructed, in that order; thresholds and galleries are of all originals. Scores are
    cosines centred on the originals' mean. `tar_type1_1e3` and `tar_type1_1e2`: reconstructions accepted as their own
    original at the threshold that accepts 1e-3 or 1e-2 of the pairs of originals of different people.
    `tar_type2_...`: the same against every other image of the person. `person_top1`, `person_top10`: the person ranked
    first, or among ten, in a gallery of one other image of each; `person_own_...`: with the original itself in it.
    Intervals are Wilson's, clustered by person.

    Raises BadInput for other shapes, one person only, fewer than two images of two people (among the probes: of one),
    probes that are no distinct rows, and too few pairs.
    """
    asked = _asked(probes, len(originals))
    expected = (int(asked.sum()), *originals.shape[1:])
    if reconstructed.shape != expected:
        raise BadInput(
            f"verification: expected one row an image in both, got {reconstructed.shape} and {originals.shape}"
            + ("" if probes is None else f" for {expected[0]} probes")
        )
    if not np.isfinite(originals).all():
        raise BadInput("verification: the features of the originals are not finite; check the judge")
    people = People.of(cluster_ids(list(clusters), len(originals)), seed)
    for reason in (people.reason_against_type_two(), *(people.reason_against(far) for far in FARS.values())):
        if reason is not None:
            raise BadInput(f"clusters: {reason}; give more images of each person, or more people")
    if not people.with_others[asked].any():
        raise BadInput("probes: expected images of people who have another one, got none; type II compares with it")
    matcher = Matcher.prepare(originals, people)
    directions = np.zeros_like(matcher.originals)
    rows = np.arange(len(originals)) if probes is None else np.asarray(probes)
    directions[rows] = matcher.directions(reconstructed)
    hits = matcher.own_scores(directions)[asked]
    type_one = {
        f"tar_type1_{name}": rate(hits > threshold, clusters=people.member[asked], chance=FARS[name])
        for name, threshold in matcher.thresholds.items()
    }
    return type_one | person_rates(matcher, directions, asked=asked)


def person_rates(
    matcher: Matcher,
    probes: Float64[np.ndarray, "N D"],
    failed: Bool[np.ndarray, " N"] | None = None,
    *,
    asked: Bool[np.ndarray, " N"] | None = None,
    size: int | None = None,
    seed: int = 0,
) -> dict[str, Interval]:
    """Return the metrics that are no mean over all images: type II and the cumulative match rates.

    What `failed` is accepted as nobody and ranks last. `asked` says which images are counted (None: all). With `size`
    only the match rates, in smaller galleries.
    """
    people = matcher.people
    failed = np.zeros(len(probes), dtype=bool) if failed is None else failed
    asked = np.ones(len(probes), dtype=bool) if asked is None else asked
    gallery = people.count if size is None else size
    rates: dict[str, Interval] = {}
    type_two = people.reason_against_type_two() is None
    if type_two and size is None:
        counted = asked[people.pairs[:, 0]]
        accepted = matcher.pair_scores(probes)[counted]
        first = people.pairs[counted, 0]
        for name, threshold in matcher.thresholds.items():
            hits = (accepted > threshold) & ~failed[first]
            rates[f"tar_type2_{name}"] = rate(hits, clusters=people.member[first], chance=FARS[name])
    for key, own in (("person_own", True), ("person", False)):
        if not own and not type_two:
            continue
        ranks = np.where(failed, gallery, matcher.ranks(probes, own=own, size=size, seed=seed))
        counted = asked if own else asked & people.with_others
        for top in TOP:
            chance = min(top, gallery) / gallery
            rates[f"{key}_top{top}"] = rate(ranks[counted] <= top, clusters=people.member[counted], chance=chance)
    return rates


def _asked(probes: Sequence[int] | Shaped[np.ndarray, "..."] | None, count: int) -> Bool[np.ndarray, " N"]:
    asked = np.ones(count, dtype=bool)
    if probes is None:
        return asked
    rows = np.asarray(probes)
    whole = rows.ndim == 1 and rows.dtype.kind in "iu" and len(rows) > 0
    if not whole or rows.min() < 0 or rows.max() >= count or len(np.unique(rows)) != len(rows):
        raise BadInput(f"probes: expected distinct rows from 0 to {count - 1}; e.g. np.flatnonzero(reconstructed)")
    return np.bincount(rows, minlength=count) > 0


def _allowed(impostors: int, far: float) -> int:
    if not 0 < far < 1:
        raise BadInput(f"far: expected a rate between 0 and 1, got {far}; e.g. 0.001")
    allowed = int(far * impostors + 1e-9)
    if allowed < 1:
        raise BadInput(f"far: a rate of {far:g} needs {int(np.ceil(1 / far))} impostor scores, got {impostors}")
    return min(allowed, impostors - 1)


def _score_blocks(
    probes: Float64[np.ndarray, "N D"], gallery: Float64[np.ndarray, "M D"]
) -> Iterator[tuple[Int64[np.ndarray, " B"], Float64[np.ndarray, "B M"]]]:
    step = max(1, _CELLS // max(1, len(gallery)))
    for start in range(0, len(probes), step):
        rows = np.arange(start, min(start + step, len(probes)))
        yield rows, probes[rows] @ gallery.T


def _highest_impostors(
    directions: Float64[np.ndarray, "N D"], member: Int64[np.ndarray, " N"], keep: int
) -> Float64[np.ndarray, " keep"]:
    """Return the highest scores of pairs of different people, descending; memory does not grow with their number."""
    highest = np.full(0, -np.inf)
    for rows, scores in _score_blocks(directions, directions):
        pairs = (member[rows][:, None] != member) & (rows[:, None] < np.arange(len(member)))
        highest = np.concatenate([highest, scores[pairs]])
        if len(highest) > keep:
            highest = np.partition(highest, len(highest) - keep)[len(highest) - keep :]
    return np.sort(highest)[::-1]
