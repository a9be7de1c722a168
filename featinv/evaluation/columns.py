"""The numbers of every image by the names of the metrics, as comparisons and levels ask for them."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Shaped

from featinv.errors import BadInput
from featinv.evaluation.attack_score import MISMATCHED_FEATURES, AttackScore
from featinv.evaluation.catalogue import Catalogue
from featinv.evaluation.judging import TREATMENTS

CLUSTERS = "clusters"
"""Key of the images' clusters among the numbers per image; no row's key, which has a slash."""
WITHIN_CLASS = "within class"
"""View in which the candidates are the images of the same class."""
_TOP = "reid_top"
_AUC = "reid_auc"


class Columns:
    """Reads per-image arrays; `reid_top<k>` and `reid_auc` are worked out from the ranks.

    `catalogue` says of every metric which way is better, and to which family it belongs.

    `independent` are the views that identification has to hold in: the first judge's, the treated ones, and those of
    the other judges that are no siblings of the victim; none where the first judge is a sibling.
    """

    def __init__(
        self, per_image: Mapping[str, np.ndarray], protocol: Mapping[str, Any], rows: Sequence[AttackScore]
    ) -> None:
        self.rows = {row.name: row for row in rows}
        self.catalogue = Catalogue.of(protocol)
        self.clusters = per_image.get(CLUSTERS)
        self.independent = _independent(protocol, per_image)
        self._per_image = per_image
        self._protocol = protocol

    def get(self, name: str, metric: str, view: str = "") -> Shaped[np.ndarray, " N"]:
        """Return one number an image. Raises BadInput for a row or a metric that was not measured."""
        if name not in self.rows:
            available = ", ".join(repr(row) for row in self.rows)
            raise BadInput(f"scoreboard: no row {name!r}; there are {available}")
        measured = self._find(name, metric, view)
        if measured is None:
            asked = f"{metric}/{view}" if view else metric
            available = ", ".join(sorted(key[len(name) + 1 :] for key in self._per_image if key.startswith(f"{name}/")))
            have = f"it has {available}" if available else "its per_image.npz is missing"
            raise BadInput(f"scoreboard: {name!r} has no numbers per image for {asked!r}; {have}")
        return measured

    def has(self, name: str, metric: str, view: str = "") -> bool:
        """Say whether it was measured."""
        return name in self.rows and self._find(name, metric, view) is not None

    def _find(self, name: str, metric: str, view: str) -> np.ndarray | None:
        suffix = f"/{view}" if view else ""
        stored = self._per_image.get(f"{name}/{metric}{suffix}")
        ranks = self._per_image.get(f"{name}/rank{suffix}")
        if stored is not None or ranks is None:
            return stored
        if metric.startswith(_TOP) and metric[len(_TOP) :].isdecimal():
            return ranks <= int(metric[len(_TOP) :])
        if metric == _AUC and not view.startswith(WITHIN_CLASS):
            return normalised(ranks, self.gallery(view))
        return None

    def gallery(self, view: str = "") -> int:
        """Return how many candidates the gallery of a view holds."""
        kind, _, size = view.partition(" ")
        return int(size) if kind == "gallery" else int(self._protocol["gallery"])

    def treated_original_top1(self, view: str) -> float:
        """Return the share of treated originals with rank 1 in a view; 1 where nothing is treated."""
        metrics = self._protocol.get("treated_originals", {}).get(view)
        return float(metrics["reid_top1"]["mean"]) if metrics else 1.0


def within_view(view: str) -> str:
    """Return the name of a view once the candidates are those of the same class."""
    return f"{WITHIN_CLASS}, {view}" if view else WITHIN_CLASS


def wrong_view(view: str) -> str:
    """Return the name of a view of mismatched features (agreement only, but for the first judge's plain view)."""
    return f"{MISMATCHED_FEATURES} ({view})" if view else MISMATCHED_FEATURES


def normalised(ranks: Shaped[np.ndarray, " N"], size: int | np.ndarray) -> Shaped[np.ndarray, " N"]:
    """Return 1 - (rank - 1)/(size - 1): the share of the other candidates that rank behind, .5 by chance.

    It does not depend on the gallery's size. An image without others gets .5: it says nothing.
    """
    others = np.maximum(np.asarray(size) - 1, 1)
    return np.where(np.asarray(size) > 1, 1 - (ranks - 1) / others, 0.5)


def _independent(protocol: Mapping[str, Any], per_image: Mapping[str, np.ndarray]) -> tuple[str, ...]:
    judges = protocol.get("judges", ())
    if not judges or judges[0]["sibling"]:
        return ()
    others = [judge["name"] for judge in judges[1:] if not judge["sibling"]]
    measured = {key.partition("/")[2] for key in per_image}
    return ("", *(view for view in (*TREATMENTS, *others) if f"rank/{view}" in measured))
