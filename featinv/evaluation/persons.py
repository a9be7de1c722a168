"""Verification and identification of people within a comparison: every row, every judge and every view."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, final

import numpy as np
from jaxtyping import Float64

from featinv.evaluation.attack_score import interval_json
from featinv.evaluation.intervals import Clusters, Interval
from featinv.evaluation.judging import TREATMENTS
from featinv.evaluation.panel import MAIN, Panel, Pass, PerImage, gallery_view, keyed
from featinv.evaluation.people import People
from featinv.evaluation.verification import FARS, Matcher, person_rates

TYPE_TWO = "tar_type2, person_top1, person_top10"


@final
@dataclass(frozen=True, eq=False)
class PersonMeasures:
    """What `clusters` add to a comparison: each judge is a matcher with thresholds of its own.

    Of type I there are numbers per image, `tar_type1_1e3` and `tar_type1_1e2`; so there are of `false_accepts_1e3`,
    the share of other people's originals that a reconstruction is accepted as. The rest are rates of the row.
    """

    panel: Panel
    people: People
    matchers: Mapping[str, Matcher]

    @classmethod
    def prepare(cls, panel: Panel, clusters: Clusters) -> "PersonMeasures":
        """Set the thresholds of every judge on pairs of originals of different people."""
        people = People.of(clusters, panel.seed)
        views = [view for view in panel.views if view not in TREATMENTS]
        return cls(panel, people, {view: Matcher.prepare(panel.originals[view].features, people) for view in views})

    def of_images(self, result: Pass) -> PerImage:
        """Return the numbers per image, in every view."""
        arrays: PerImage = {}
        for view in self.panel.views:
            matcher, probes = self._probes(result, view)
            own = matcher.own_scores(probes)
            for name, threshold in matcher.thresholds.items():
                arrays[keyed(f"tar_type1_{name}", view)] = (own > threshold) & ~result.failed
            if "1e3" in matcher.thresholds and view == MAIN:
                accepted = np.where(result.failed, 0.0, matcher.false_accepts(probes, "1e3"))
                arrays["false_accepts_1e3"] = accepted.astype(np.float32)
        return arrays

    def of_all(self, result: Pass) -> dict[str, dict[str, Interval]]:
        """Return the rates of the row in every view, and in smaller galleries of people."""
        rates: dict[str, dict[str, Interval]] = {}
        for view in self.panel.views:
            matcher, probes = self._probes(result, view)
            rates[view] = person_rates(matcher, probes, result.failed)
            if view == MAIN:
                for size in self._galleries():
                    rates[gallery_view(size)] = person_rates(
                        matcher, probes, result.failed, size=size, seed=self.panel.seed
                    )
        return rates

    def priors(self) -> dict[str, float]:
        """Return the rates at which other people are accepted."""
        return {f"tar_type1_{name}": far for name, far in FARS.items()}

    def not_measured(self) -> dict[str, str]:
        """Return which metrics the people of this release do not allow, and why."""
        reasons = {f"tar at {far:g}": self.people.reason_against(far) for far in FARS.values()}
        reasons[TYPE_TWO] = self.people.reason_against_type_two()
        return {name: reason for name, reason in reasons.items() if reason is not None}

    def metadata(self) -> dict[str, Any]:
        """Return what the protocol says: numbers of people and pairs, thresholds, and what originals reach themselves.

        The originals' rates are the judges' ceiling: a perfect reconstruction is the original.
        """
        return {
            "count": self.people.count,
            "galleries": [self.people.count, *self._galleries()],
            "with_several_images": int((np.bincount(self.people.member) > 1).sum()),
            "impostor_pairs": self.people.impostors,
            "thresholds": {view: dict(matcher.thresholds) for view, matcher in self.matchers.items()},
            "originals": {
                view: {name: interval_json(rate) for name, rate in person_rates(matcher, matcher.originals).items()}
                for view, matcher in self.matchers.items()
            },
        }

    def _galleries(self) -> list[int]:
        return [size for size in self.panel.galleries if 1 < size < self.people.count]

    def _probes(self, result: Pass, view: str) -> tuple[Matcher, Float64[np.ndarray, "N D"]]:
        matcher = self.matchers[MAIN if view in TREATMENTS else view]
        return matcher, matcher.directions(result.outputs[view].features)
