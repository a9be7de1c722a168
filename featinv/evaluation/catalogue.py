"""All metrics of this package, in the order in which they are shown; a metric of a user joins them by declaration.

Functions are looked up when they are called, so that reading a scoreboard does not import torchmetrics.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from featinv import evaluation
from featinv import metrics as functions
from featinv.errors import BadInput
from featinv.metrics.metric import FAMILIES, Metric, Place

DECLARED = "metrics"
"""Key of the protocol under which metrics from outside this package are declared."""

_PIXEL = (
    Metric(
        "mse",
        lambda made, original: functions.mse(made, original),
        title="MSE",
        higher_is_better=False,
        worst=1.0,
        family="pixel",
        text="Mean squared error of the pixels: 0 is a perfect copy.",
        places=("probe",),
    ),
    Metric(
        "psnr",
        lambda made, original: functions.psnr(made, original),
        title="PSNR",
        unit="dB",
        higher_is_better=True,
        worst=0.0,
        family="pixel",
        text="How close the pixels are to the original's, in decibels; 6 dB more is half the error. It favours blurred "
        "images, and says little about who or what is recognised.",
    ),
    Metric(
        "ssim",
        lambda made, original: functions.ssim(made, original),
        title="SSIM",
        higher_is_better=True,
        worst=-1.0,
        family="pixel",
        text="How alike the patterns of light and dark are, place by place: 1 is a perfect copy.",
    ),
    Metric(
        "low_pass_psnr",
        lambda made, original: functions.low_pass_psnr(made, original),
        title="Colour and layout",
        unit="dB",
        higher_is_better=True,
        worst=0.0,
        text="PSNR of the images without their detail: colours and layout alone.",
        places=("details",),
    ),
)
_IMAGES_ON_REQUEST = (
    Metric(
        "ms_ssim",
        lambda made, original: functions.ms_ssim(made, original),
        title="MS-SSIM",
        higher_is_better=True,
        worst=0.0,
        text="SSIM at five scales together: 1 is a perfect copy.",
        places=("details",),
        on_request=True,
    ),
    Metric(
        "lpips",
        lambda made, original: functions.lpips(made, original),
        title="LPIPS",
        higher_is_better=False,
        worst=1.0,
        family="perceptual",
        text="How different two images look, as learnt from people's judgements: 0 is a perfect copy.",
        places=("report", "figure", "probe"),
        on_request=True,
    ),
    Metric(
        "dists",
        lambda made, original: functions.dists(made, original),
        title="DISTS",
        higher_is_better=False,
        worst=1.0,
        family="perceptual",
        text="How different structure and texture look, whatever the exact place: 0 is a perfect copy.",
        places=("report", "probe"),
        on_request=True,
    ),
)


_JUDGED = (
    Metric(
        "judge_cosine",
        lambda made, original: evaluation.feature_cosines(made, original),
        title="Alike to the judge",
        higher_is_better=True,
        worst=-1.0,
        needs="judge",
        text="How alike an independent network finds reconstruction and original (cosine).",
        places=("details", "probe"),
    ),
    Metric(
        "judge_agreement",
        lambda made, original: made.labels == original.labels,
        title="Same label",
        short="agreement",
        unit="%",
        factor=100,
        higher_is_better=True,
        worst=0.0,
        needs="judge",
        text="How often an independent network, the judge, gives reconstruction and original the same label.",
        places=("table", "report", "figure", "probe"),
    ),
)
_IDENTIFICATION = (
    Metric(
        "reid_top1",
        None,
        title="Top-1 re-identification",
        short="top-1",
        unit="%",
        factor=100,
        higher_is_better=True,
        worst=0.0,
        family="identification",
        needs="ranks",
        text="How often the judge, shown a reconstruction, puts its original first among all private images.",
        places=("table", "report"),
    ),
    Metric(
        "reid_top10",
        None,
        title="Top-10 re-identification",
        short="top-10",
        unit="%",
        factor=100,
        higher_is_better=True,
        worst=0.0,
        family="identification",
        needs="ranks",
        text="How often the original stands among the first ten.",
        places=("table", "report", "figure", "bars"),
    ),
    Metric(
        "reid_auc",
        None,
        title="Rank",
        higher_is_better=True,
        worst=0.0,
        family="identification",
        needs="ranks",
        text="The share of the other private images that look less alike than the original: .5 by chance.",
        places=(),
    ),
    Metric(
        "reid_auc_within_class",
        None,
        measured_as="reid_auc/within class",
        title="Rank within the class",
        higher_is_better=True,
        worst=0.0,
        needs="ranks",
        text="The same rank among images of the same class only: of two of a kind, how often the right one is chosen.",
        places=("details",),
    ),
    Metric(
        "reid_mrr",
        None,
        title="Mean reciprocal rank",
        higher_is_better=True,
        worst=0.0,
        needs="ranks",
        text="The mean of one over the original's rank: 1 where it always comes first.",
        places=(),
    ),
    Metric(
        "rank",
        None,
        title="Rank, absolute",
        higher_is_better=False,
        worst=0.0,
        needs="ranks",
        text="The place of the original among all candidates: 1 is found; a failed reconstruction gets the last one.",
        places=("probe",),
    ),
    Metric(
        "attack_strength",
        None,
        title="Strength",
        short="strength",
        unit="%",
        factor=100,
        higher_is_better=True,
        worst=0.0,
        needs="ranks",
        text="What the attack adds to the best control: of the images that the control does not find among ten, the "
        "share found beyond it. At 0 or below, it adds nothing.",
        places=("table", "report", "figure", "bars"),
    ),
    Metric(
        "headroom",
        None,
        title="Share of the headroom",
        short="headroom",
        unit="%",
        factor=100,
        higher_is_better=True,
        worst=0.0,
        needs="ranks",
        text="Top-10 re-identification over that of the judge's features predicted straight from the vectors, which "
        "is what this judge could find if the drawing were perfect.",
        places=(),
    ),
)
_REALISM = (
    Metric(
        "judge_fd",
        lambda made, original: evaluation.frechet_distance(made, original),
        title="Fréchet distance, judge's features",
        higher_is_better=False,
        worst=0.0,
        needs="distribution",
        text="How far the reconstructions are from real images as a whole, by means and spreads of the judge's "
        "features: realism, and no leak by itself. It compares only between equal numbers of images, and not with "
        "FID, which is the same distance on Inception's features.",
        places=("details",),
        on_request=True,
    ),
    Metric(
        "judge_kd",
        lambda made, original: evaluation.kernel_distance(made, original),
        title="Kernel distance, judge's features",
        higher_is_better=False,
        worst=0.0,
        needs="distribution",
        text="The same as a whole by a kernel (squared MMD): realism, and no leak by itself. It does not compare with "
        "KID, which is the same distance on Inception's features.",
        places=("details",),
        on_request=True,
    ),
    Metric(
        "fid",
        lambda made, original: evaluation.frechet_distance(made, original),
        title="FID",
        higher_is_better=False,
        worst=0.0,
        needs="inception",
        text="The Fréchet distance on Inception's features, as published: realism, and no leak by itself. It compares "
        "only between equal numbers of images.",
        places=("details",),
        on_request=True,
    ),
    Metric(
        "kid",
        lambda made, original: evaluation.kernel_distance(made, original),
        title="KID",
        higher_is_better=False,
        worst=0.0,
        needs="inception",
        text="The kernel distance on Inception's features, as published: realism, and no leak by itself.",
        places=("details",),
        on_request=True,
    ),
)
_OTHERS = (
    Metric(
        "memorised",
        None,
        title="Nearer to a public image",
        unit="%",
        factor=100,
        higher_is_better=False,
        worst=0.0,
        needs="public",
        text="How often some public image, of all that the attack learnt from, is more alike than the original.",
        places=("details",),
        on_request=True,
    ),
    Metric(
        "nearest_public_rate",
        None,
        title="Nearest is public",
        unit="%",
        factor=100,
        higher_is_better=False,
        worst=0.0,
        needs="public",
        text="How often the most alike image, the original aside, is a public one. Above chance, the attack "
        "reproduces its training images; a row that always shows one image says nothing here.",
        places=("details",),
    ),
    Metric(
        "attributes",
        None,
        title="Attributes",
        unit="%",
        factor=100,
        higher_is_better=True,
        worst=0.0,
        needs="labels",
        text="How often a simple reader (a linear probe) tells an attribute of the original off its reconstruction.",
        places=(),
        on_request=True,
    ),
    Metric(
        "target_cosine",
        None,
        title="Alike to the target",
        higher_is_better=True,
        worst=-1.0,
        needs="victim",
        text="A diagnostic: how alike the released vector and that of the reconstruction are. An attack can please the "
        "target with texture in which nobody sees anything.",
        places=("details",),
        on_request=True,
    ),
)
METRICS: tuple[Metric, ...] = (
    *_PIXEL,
    *_IMAGES_ON_REQUEST,
    *_JUDGED,
    *_IDENTIFICATION,
    *_REALISM,
    *_OTHERS,
)
"""The one table of metrics."""


class Catalogue:
    """The metrics of this package with those of a user after them, by name and by place.

    Raises BadInput for two different metrics of one name.
    """

    def __init__(self, own: Iterable[Metric] = ()) -> None:
        self._by_name = {metric.name: metric for metric in METRICS}
        for metric in own:
            declared = self._by_name.setdefault(metric.name, metric)
            if declared != metric:
                whose = "featinv has one of that name" if declared in METRICS else "the two differ"
                raise BadInput(f"metrics: {metric.name!r} is declared twice, and {whose}; rename yours")

    @classmethod
    def of(cls, *protocols: Mapping[str, Any]) -> "Catalogue":
        """Return the catalogue that these protocols speak of.

        Raises KeyError or TypeError for a broken declaration, and BadInput for an impossible one.
        """
        declared = [item for protocol in protocols for item in (protocol.get(DECLARED) or {}).items()]
        return cls(Metric.from_declaration(name, parts) for name, parts in declared)

    def __getitem__(self, name: str) -> Metric:
        return self._by_name[name]

    def get(self, name: str) -> Metric | None:
        """Return the metric of this name; None for one that nobody declared, such as the probe of an attribute."""
        return self._by_name.get(name)

    def at(self, place: Place) -> list[Metric]:
        """Return the metrics that are shown in a place, in order."""
        return [metric for metric in self._by_name.values() if place in metric.places]

    def families(self) -> dict[str, tuple[str, ...]]:
        """Return the names of the metrics of each family that `versus` weighs."""
        metrics = self._by_name.values()
        return {family: tuple(metric.name for metric in metrics if metric.family == family) for family in FAMILIES}

    def higher_is_better(self, name: str) -> bool:
        """Return the direction of a metric; higher for what nobody declared."""
        metric = self._by_name.get(name)
        return metric is None or metric.higher_is_better


ON_REQUEST = tuple(metric.name for metric in METRICS if metric.on_request)
"""Names of what is measured only when asked for."""
