"""Which metrics a comparison measures: names and objects in, and for what cannot be measured the reason why."""

import difflib
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from featinv import metrics as functions
from featinv.configuration import find
from featinv.data import ImageSet
from featinv.errors import BadInput
from featinv.evaluation.catalogue import DECLARED, METRICS, ON_REQUEST, Catalogue
from featinv.evaluation.distribution import KINDS, too_few
from featinv.evaluation.mutual_information import LEAST_PUBLIC
from featinv.evaluation.probes import attributes_of
from featinv.metrics.inception import WIDTH, inception_network
from featinv.metrics.metric import OWN_NEEDS, Metric
from featinv.metrics.perceptual import NETWORKS, network
from featinv.metrics.structure import SMALLEST
from featinv.victim import Release

DEFAULT: Final[str] = "default"
FULL: Final[str] = "full"
Asked: TypeAlias = str | Metric | Sequence[object]
"""What `compare(metrics=...)` takes: "default", "full", or names, import paths and objects, also beside these two."""
_RESERVED = frozenset(
    {"failed", "clusters", "n", "seconds", "parameters", "notes", "strength", "kind", "role", "attack"}
)
_RESERVED_STARTS = ("reid_", "attack_", "attribute", "judge_")
_RESERVED_ENDS = ("_low", "_high", "_chance")


@dataclass(frozen=True)
class Chosen:
    """What is measured beside the usual metrics, those of the user among them, and why the rest is not."""

    wanted: tuple[str, ...] = ()
    own: tuple[Metric, ...] = ()
    not_measured: Mapping[str, str] = field(default_factory=dict)

    @property
    def catalogue(self) -> Catalogue:
        """All metrics that this comparison can name."""
        return Catalogue(self.own)

    def measured(self, needs: str) -> tuple[Metric, ...]:
        """Return the metrics of one need that are measured: the usual ones, those on request, those of the user."""
        usual = (
            metric
            for metric in METRICS
            if metric.needs == needs and (not metric.on_request or metric.name in self.wanted)
        )
        return (*usual, *(metric for metric in self.own if metric.needs == needs))

    def metadata(self) -> dict[str, Any]:
        """Return what the protocol says: names, declarations of the user's metrics, and reasons."""
        return {
            "panel": [*self.wanted, *(metric.name for metric in self.own)],
            DECLARED: {metric.name: metric.declaration() for metric in self.own},
            "not_measured": dict(self.not_measured),
        }


def check_metrics(asked: Asked, flag: str = "metrics") -> tuple[tuple[str, ...], tuple[Metric, ...]]:
    """Return the names of the metrics on request that are asked for, and the objects of the user's own.

    A name with a dot is an import path: of a `Metric`, or of a class or function that makes one without arguments.
    Raises BadInput that begins with `flag` for an unknown name (with the nearest ones), something that is no metric,
    one that needs what only featinv's own can get, and a name that exists twice.
    """
    names: list[str] = []
    own: list[Metric] = []
    for item in (asked,) if isinstance(asked, str | Metric) else tuple(asked):
        if isinstance(item, str) and "." not in item:
            names += _known(item, flag)
        else:
            own.append(_checked(_imported(item, flag) if isinstance(item, str) else item, own, flag))
    return tuple(name for name in ON_REQUEST if name in names), tuple(own)


def choose(asked: Asked, truth: ImageSet, release: Release, public: ImageSet | None) -> Chosen:
    """Return what can be measured of what is asked for, and for everything else the reason why not.

    Raises BadInput as `check_metrics`.
    """
    names, own = check_metrics(asked)
    reasons = {name: f"not asked for: metrics='full' or ['{name}'] does" for name in ON_REQUEST if name not in names}
    for name in names:
        if reason := _obstacle(name, truth, release, public):
            reasons[name] = reason
    return Chosen(tuple(name for name in names if name not in reasons), own, reasons)


def _known(name: str, flag: str) -> list[str]:
    if name in (DEFAULT, FULL):
        return list(ON_REQUEST) if name == FULL else []
    names = [metric.name for metric in METRICS]
    if name in names:
        return [name]
    near = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    hint = f"; did you mean {' or '.join(near)}?" if near else ";"
    raise BadInput(
        f"{flag}: no metric {name!r}{hint} There are {', '.join(ON_REQUEST)}, or 'default' or 'full'; one of your own "
        "goes by its import path (my_package.my_metric)"
    )


def _imported(path: str, flag: str) -> Metric:
    try:
        imported: Any = find(path, functions)
    except BadInput as error:
        raise BadInput(f"{flag}: {str(error).removeprefix('metrics: ')}") from error
    if isinstance(imported, Metric):
        return imported
    built = imported() if callable(imported) and _takes_nothing(imported) else None
    if not isinstance(built, Metric):
        raise _no_metric(imported, flag, path)
    return built


def _takes_nothing(factory: Callable[..., Any]) -> bool:
    try:
        inspect.signature(factory).bind()
    except (TypeError, ValueError):
        return False
    return True


def _no_metric(given: object, flag: str, name: str) -> BadInput:
    label = getattr(given, "__name__", type(given).__name__)
    return BadInput(
        f"{flag}: {name!r}: expected a featinv.metrics.Metric, got {label}; wrap it: Metric('my_name', {label}, "
        "higher_is_better=True, worst=0.0) (docs/add_a_metric.md)"
    )


def _checked(metric: object, others: Sequence[Metric], flag: str) -> Metric:
    if not isinstance(metric, Metric):
        raise _no_metric(metric, flag, getattr(metric, "__name__", type(metric).__name__))
    name = metric.name
    if any(name == metric.name for metric in METRICS):
        raise BadInput(f"{flag}: a metric {name!r} exists already in featinv; rename yours")
    if any(name == metric.name for metric in others):
        raise BadInput(f"{flag}: two metrics are called {name!r}; rename one")
    if name in _RESERVED or name.startswith(_RESERVED_STARTS) or name.endswith(_RESERVED_ENDS):
        raise BadInput(f"{flag}: the name {name!r} means something else in a scoreboard; rename the metric")
    if metric.needs not in OWN_NEEDS or metric.function is None:
        raise BadInput(
            f"{flag}: {name!r}: expected a function that needs {' or '.join(OWN_NEEDS)}, got {metric.needs!r}"
        )
    return metric


def _obstacle(name: str, truth: ImageSet, release: Release, public: ImageSet | None) -> str | None:
    if name == "ms_ssim" and truth.size < SMALLEST:
        return f"five scales need images of {SMALLEST} px, these have {truth.size}"
    if name in NETWORKS:
        return _missing_network(name)
    if name in KINDS:
        inception = Catalogue()[name].needs == "inception"
        few = too_few(KINDS[name], len(truth), WIDTH if inception else 1)
        return few or (_missing_inception() if inception else None)
    if name == "memorised" and public is None:
        return "the public images are not at hand; give public="
    if name == "identified_bits":
        return _without_public_vectors(release, public)
    if name == "attributes" and not attributes_of(truth):
        return "the private images have no labels or factors of 2 to 100 values"
    if name == "target_cosine" and release.victim is None:
        return "the victim is not at hand"
    return None


def _without_public_vectors(release: Release, public: ImageSet | None) -> str | None:
    if public is None or release.victim is None:
        return "the public images or the victim are not at hand; give public="
    return None if len(public) >= LEAST_PUBLIC else f"it needs {LEAST_PUBLIC} public images, these are {len(public)}"


def _missing_network(name: str) -> str | None:
    try:
        network(name)
    except BadInput:
        # The error names a folder of this machine, which a scoreboard that is shared need not.
        return f"torch's cache has no sound ImageNet weights of {NETWORKS[name]}; `featinv.metrics.{name}` says more"
    return None


def _missing_inception() -> str | None:
    try:
        inception_network()
    except BadInput:
        return (
            "torch's cache has no sound Inception weights, or torch-fidelity is not installed; "
            "`featinv.metrics.inception_features` says more"
        )
    return None
