"""The comparison: controls and attacks on one release, scored by the rules of honest measurement."""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, SupportsIndex

import torch

from featinv import processes
from featinv.data import ImageSet, Overlap
from featinv.errors import BadInput
from featinv.evaluation.ceiling import Ceiling
from featinv.evaluation.checks import check_attacks, check_judges, check_private
from featinv.evaluation.chosen_metrics import DEFAULT, Asked, choose
from featinv.evaluation.columns import CLUSTERS
from featinv.evaluation.extras import ExtraMeasures
from featinv.evaluation.intervals import RESAMPLES, Clusters, cluster_ids
from featinv.evaluation.leak_level import Thresholds
from featinv.evaluation.levels import assess
from featinv.evaluation.linkage import ceiling_arrays, link
from featinv.evaluation.measuring import Measured, measure, predicted_rows, row_scores, with_failures_filled
from featinv.evaluation.panel import Panel
from featinv.evaluation.people import check_persons
from featinv.evaluation.protocol import protocol_metadata
from featinv.evaluation.recovered_record import KEY as RECOVERED
from featinv.evaluation.scoreboard import Scoreboard
from featinv.evaluation.summary import best_control, probe
from featinv.metrics.value_range import SLACK
from featinv.plain_numbers import check_seed
from featinv.types import Attack, Judge
from featinv.victim import Release

GALLERIES = (100, 1000)
_RELEASE_KEYS = ("seed", "count", "private_fingerprint")
"""What a release's metadata says beside the victim's; the protocol has it."""


def compare(
    attacks: Mapping[str, Attack],
    release: Release,
    judges: Sequence[Judge],
    *,
    galleries: Sequence[int] | None = None,
    metrics: Asked = DEFAULT,
    clusters: Sequence[object] | None = None,
    public_clusters: Sequence[object] | None = None,
    named: str | None = None,
    thresholds: Thresholds | None = None,
    seed: SupportsIndex = 0,
    batch_size: int = 256,
    resamples: int = RESAMPLES,
    progress: bool = True,
    allow_sibling: bool = False,
    public: ImageSet | None = None,
    overlap: Overlap | None = None,
    fit_seconds: Mapping[str, int | float] | None = None,
    headroom: Any = None,
) -> Scoreboard:
    """Score fitted attacks on every private image of a release, controls first.

    The first judge fills the plain columns. `metrics` adds your own (`featinv.metrics.Metric`, or the import path of
    one) and those that cost time or need weights, labels or the public images: names of them, or "full" for all; what
    cannot be measured is named in the protocol with the reason. `galleries` adds smaller galleries for
    re-identification (None: 100 and 1,000, where there are more images). `clusters` names, for every image, the
    person or event that it is one of several of: intervals and tests count these as one draw, and the rates of
    `verification` are measured. `public_clusters` names those of the public images: nobody may be on both sides.
    `named` is the attack chosen before the private images were opened, and `thresholds` where the levels of a leak
    begin. `public`, `overlap` (of `featinv.data`) and `fit_seconds` (by attack) go into the protocol as they are. Two
    rows are made here: how well the vectors link to the victim's own features ("feature linkage"), and the last attack
    fed with other images' vectors ("mismatched features (NAME)"). Where the victim is known and its defence has a
    likelihood, `protocol["ceiling"]` holds what no attack can exceed (`reidentification_ceiling`).
    `headroom`, the public pairs, adds two more, "judge features predicted" in two forms: what each judge would find if
    its features of the original were predicted straight from the vector, with no image in between. They use the judge's
    weights, so they are no attack, and no attack has to beat them; `headroom` of an attack is its top-10 over theirs.
    It adds a view as well, "whitened": the first judge's features whitened by their covariance on the public images.

    Raises BadInput for no judge, a judge that is the victim or serves an attack, a sibling as first judge, no control,
    an attack fitted on another victim, fewer private images than a gallery needs, images of another shape, a name
    that is no metric, a metric of yours that does not return one finite number an image, another number of clusters
    than images, a named attack that is not among them, and a seed outside 0 to 2**63 - 1.
    """
    seed = check_seed("compare: seed", seed)
    truth = check_private(release, galleries or ())
    galleries = [size for size in GALLERIES if size < len(truth)] if galleries is None else galleries
    chosen = choose(metrics, truth, release, public)
    ids = None if clusters is None else cluster_ids(clusters, len(truth))
    if public_clusters is not None:
        check_persons(clusters, public_clusters, None if public is None else len(public))
    siblings = _checked(attacks, release, judges, named=named, allow_sibling=allow_sibling)
    probe(chosen.own, truth, judges[0])
    for name, attack in attacks.items():
        _probe(name, attack, release, truth.size)

    with _ticking(len(truth) * (len(attacks) + 1), progress) as tick:
        panel = Panel.prepare(
            truth,
            judges,
            galleries=galleries,
            seed=seed,
            batch_size=batch_size,
            metrics=(*chosen.measured("images"), *chosen.measured("judge")),
            tick=tick,
        )
        extra = ExtraMeasures.prepare(chosen, panel, release, public, ids, pairs=headroom)
        measured, ceiling = _measured(attacks, release, panel, extra, ids)
    measured = with_failures_filled(measured, chosen.catalogue)
    rows = row_scores(
        measured, panel, priors=extra.priors(), resamples=resamples, fit_seconds=fit_seconds or {}, clusters=ids
    )
    protocol = protocol_metadata(
        panel, release, siblings, resamples=resamples, public=public, overlap=overlap, clusters=ids
    )
    protocol |= extra.metadata(attacks.values())
    protocol |= _of_the_rows(attacks, measured, ceiling)
    if extra.recovered is not None:
        by_attack = {row.name: row.recovered for row in measured if row.recovered is not None}
        protocol[RECOVERED] = extra.recovered.metadata(by_attack)
    per_image = {f"{row.name}/{key}": values for row in measured for key, values in row.arrays.items()}
    per_image |= ceiling_arrays(ceiling, len(truth))
    per_image = per_image if ids is None else {**per_image, CLUSTERS: ids}
    return Scoreboard(
        victim={key: value for key, value in release.metadata.items() if key not in _RELEASE_KEYS},
        protocol=protocol,
        attacks=tuple(rows),
        per_image=per_image,
        leak_level=assess(protocol, rows, per_image, named=named, thresholds=thresholds),
    )


def _of_the_rows(attacks: Mapping[str, Attack], measured: Sequence[Measured], ceiling: Ceiling) -> dict[str, Any]:
    """Return what the protocol says of the rows: the ceiling, precisions, and the strongest control."""
    precisions = {name: getattr(attacks[name], "precision", None) for name in _controls_first(attacks)}
    return {
        "ceiling": ceiling.as_json(),
        "precision": {name: precision for name, precision in precisions.items() if precision},
        "best_control": best_control({row.name: row.arrays for row in measured if row.counts_as_control}, "rank"),
    }


def _checked(
    attacks: Mapping[str, Attack], release: Release, judges: Sequence[Judge], *, named: str | None, allow_sibling: bool
) -> list[bool]:
    """Check attacks and judges; return which judges are siblings of the victim."""
    check_attacks(attacks, release)
    siblings = check_judges(judges, attacks, release, allow_sibling=allow_sibling)
    if named is not None and named not in attacks:
        raise BadInput(f"named: no attack {named!r}; there are {', '.join(repr(name) for name in attacks)}")
    return siblings


def _controls_first(attacks: Mapping[str, Attack]) -> list[str]:
    return sorted(attacks, key=lambda name: attacks[name].kind != "control")


def _measured(
    attacks: Mapping[str, Attack], release: Release, panel: Panel, extra: ExtraMeasures, ids: Clusters | None
) -> tuple[list[Measured], Ceiling]:
    """Measure feature linkage, the headroom rows and every attack; the last one also on mismatched features."""
    linked, ceiling = link(release, panel, ids)
    measured = linked + predicted_rows(extra.headroom, release, panel)
    ordered = _controls_first(attacks)
    for name in ordered:
        mismatched_row = name == ordered[-1] and attacks[name].kind == "attack"
        measured += measure(name, attacks[name], release, panel, extra, mismatched_row=mismatched_row)
    return measured, ceiling


def _probe(name: str, attack: Attack, release: Release, size: int) -> None:
    """Reconstruct two vectors before an hour is spent: another shape or range is a mistake to show now."""
    images = attack.reconstruct(torch.from_numpy(release.features[:2]))
    if tuple(images.shape) != (2, 3, size, size):
        raise BadInput(
            f"{name}: expected reconstructions of shape {(2, 3, size, size)}, got {tuple(images.shape)}; "
            "fit it on images of the private images' size"
        )
    finite = images[images.isfinite()]
    if finite.numel() and not (float(finite.min()) >= -SLACK and float(finite.max()) <= 1 + SLACK):
        raise BadInput(
            f"{name}: images must lie in [0, 1]; got min {float(finite.min()):.4g}, max {float(finite.max()):.4g}; "
            "end the attack in [0, 1]"
        )


@contextlib.contextmanager
def _ticking(total: int, progress: bool) -> Iterator[Callable[[int], object]]:
    if not progress:
        yield lambda done: None
        return
    with processes.progress_bar(total, "scoring") as bar:
        yield bar.update
