"""What vectors alone identify: candidates ranked by their own vectors, and the ceiling of re-identification.

Both need the victim: it says what the candidates' vectors are.
"""

import numpy as np
import torch
from torch import Tensor

from featinv.defences import known_release, whole_release
from featinv.evaluation.attack_score import FEATURE_LINKAGE, LINKAGE
from featinv.evaluation.ceiling import Ceiling, reidentification_ceiling
from featinv.evaluation.intervals import Clusters
from featinv.evaluation.measuring import Measured
from featinv.evaluation.panel import MAIN, Panel, gallery_view, keyed
from featinv.evaluation.summary import TOP
from featinv.victim import Release, Victim

STREAM = 3
"""The defence's stream for the linker's own draws (pairs use 0 and 1, the release 2): he does not know its noise."""
_BLOCK = 4096
_WHOLE = 2000
"""Candidates up to which noise is ranked in the whole gallery too: the cost grows with their square."""


def link(release: Release, panel: Panel, clusters: Clusters | None = None) -> tuple[list[Measured], Ceiling]:
    """Return the row of feature linkage and the ceiling of the release; no row and no ceiling without the victim.

    Raises BadInput for a defence whose `log_likelihood` is not one.
    """
    if release.victim is None:
        return [], Ceiling({}, {}, (), 0, False, "")
    count = len(panel.truth)
    clean = torch.cat(
        [
            release.victim.encode(
                panel.truth, np.arange(start, min(start + _BLOCK, count)), batch_size=panel.batch_size
            )
            for start in range(0, count, _BLOCK)
        ]
    )
    ceiling = reidentification_ceiling(
        release.victim.defence,
        clean,
        galleries=_sizes(release.victim, panel),
        top=TOP,
        seed=panel.seed,
        clusters=clusters,
    )
    candidates = _defended(release.victim, clean, panel)
    arrays = panel.gallery_ranks(release.features.reshape(count, -1), candidates, whole=True)
    return [Measured(FEATURE_LINKAGE, "control", LINKAGE, 0, 0.0, arrays)], ceiling


def _defended(victim: Victim, clean: Tensor, panel: Panel) -> np.ndarray:
    """Return the candidates as the linker publishes them, flat (N, D)."""
    count = len(clean)
    size = count if whole_release(victim.defence) else _BLOCK
    blocks = [
        victim.defend(
            clean[start : start + size],
            panel.truth.ids[start : start + size],
            seed=panel.seed,
            block_number=number,
            view=STREAM,
        )
        for number, start in enumerate(range(0, count, size))
    ]
    return np.concatenate(blocks).reshape(count, -1)


def _sizes(victim: Victim, panel: Panel) -> tuple[int, ...]:
    release, count = known_release(victim.defence), len(panel.truth)
    cheap = release is not None and release.noise is None
    return (*panel.galleries, count) if cheap or count <= _WHOLE or not panel.galleries else tuple(panel.galleries)


def ceiling_arrays(ceiling: Ceiling, count: int) -> dict[str, np.ndarray]:
    """Return the ceiling of every image as "<row>/ceiling_top<k>[/<view>]", as other numbers per image are named."""
    return {
        f"{FEATURE_LINKAGE}/{keyed(f'ceiling_top{k}', MAIN if size == count else gallery_view(size))}": values.astype(
            np.float32
        )
        for (k, size), values in ceiling.per_image.items()
    }
