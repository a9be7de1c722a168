"""All metrics of this package, in the order in which they are shown; a metric of a user joins them by declaration.

Functions are looked up when they are called, so that reading a scoreboard does not import torchmetrics.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from featinv import evaluation
from featinv import metrics as functions
from featinv.errors import BadInput
from featinv.evaluation.person_metrics import PERSONS
from featinv.metrics.metric import FAMILIES, Metric, Place

DECLARED = "metrics"
"""Key of the protocol under which metrics from outside this package are declared."""

_PIXEL = (
    Metric(
        "mse",
        lambda reconstruction, original: functions.mse(reconstruction, original),
        title="MSE",
        higher_is_better=False,
        worst=1.0,
        family="pixel",
        text="Mean squared error of the pixels. A perfect copy has 0.",
        places=("probe",),
    ),
    Metric(
        "psnr",
        lambda reconstruction, original: functions.psnr(reconstruction, original),
        title="PSNR",
        unit="dB",
        higher_is_better=True,
        worst=0.0,
        family="pixel",
        text="Closeness of the pixels, in decibels: 6 dB more is half the error. PSNR favours blurred images and says "
        "little about who or what is recognised.",
    ),
    Metric(
        "ssim",
        lambda reconstruction, original: functions.ssim(reconstruction, original),
        title="SSIM",
        higher_is_better=True,
        worst=-1.0,
        family="pixel",
        text="Similarity of local structure, the pattern of light and dark. A perfect copy has 1.",
    ),
    Metric(
        "low_pass_psnr",
        lambda reconstruction, original: functions.low_pass_psnr(reconstruction, original),
        title="Colour and layout",
        unit="dB",
        higher_is_better=True,
        worst=0.0,
        text="PSNR of softened images: it measures colours and layout without detail.",
        places=("details",),
    ),
)
_IMAGES_ON_REQUEST = (
    Metric(
        "ms_ssim",
        lambda reconstruction, original: functions.ms_ssim(reconstruction, original),
        title="MS-SSIM",
        higher_is_better=True,
        worst=0.0,
        text="SSIM combined over five scales. A perfect copy has 1.",
        places=("details",),
        on_request=True,
    ),
    Metric(
        "lpips",
        lambda reconstruction, original: functions.lpips(reconstruction, original),
        title="LPIPS",
        higher_is_better=False,
        worst=1.0,
        family="perceptual",
        text="Perceptual distance, trained on people's judgements. A perfect copy has 0.",
        places=("report", "figure", "probe"),
        on_request=True,
    ),
    Metric(
        "dists",
        lambda reconstruction, original: functions.dists(reconstruction, original),
        title="DISTS",
        higher_is_better=False,
        worst=1.0,
        family="perceptual",
        text="Perceptual distance of structure and texture that tolerates small displacements. A perfect copy has 0.",
        places=("report", "probe"),
        on_request=True,
    ),
)


_JUDGED = (
    Metric(
        "judge_cosine",
        lambda reconstruction, original: evaluation.feature_cosines(reconstruction, original),
        title="Judge similarity",
        higher_is_better=True,
        worst=-1.0,
        needs="judge",
        text="Cosine of the features that an independent network, the judge, gives to reconstruction and original.",
        places=("details", "probe"),
    ),
    Metric(
        "judge_agreement",
        lambda reconstruction, original: reconstruction.labels == original.labels,
        title="Same label",
        short="agreement",
        unit="%",
        factor=100,
        higher_is_better=True,
        worst=0.0,
        needs="judge",
        text="Share of images for which an independent network, the judge, gives reconstruction and original the same "
        "label.",
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
        text="Share of images for which the judge ranks the original first among all private images, given the "
        "reconstruction.",
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
        text="Share of images for which the original is among the first ten.",
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
        text="Share of the other private images that are less similar than the original: .5 by chance.",
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
        text="Share of the other images of the same class that are less similar than the original: .5 by chance.",
        places=("details",),
    ),
    Metric(
        "reid_mrr",
        None,
        title="Mean reciprocal rank",
        higher_is_better=True,
        worst=0.0,
        needs="ranks",
        text="Mean of one over the rank of the original: 1 where it is always first.",
        places=(),
    ),
    Metric(
        "rank",
        None,
        title="Rank, absolute",
        higher_is_better=False,
        worst=0.0,
        needs="ranks",
        text="Rank of the original among all candidates: 1 is best. A failed reconstruction gets the last rank.",
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
        text="Gain in top-10 re-identification over the best control, as a share of the images that the control does "
        "not identify. At 0 or below, the attack adds nothing.",
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
        text="Top-10 re-identification as a share of that of the judge's features predicted from the vectors. Those "
        "features are what this judge could use if the reconstruction were perfect.",
        places=(),
    ),
)
_REALISM = (
    Metric(
        "judge_fd",
        lambda reconstruction, original: evaluation.frechet_distance(reconstruction, original),
        title="Fréchet distance, judge's features",
        higher_is_better=False,
        worst=0.0,
        needs="distribution",
        text="Distance between the reconstructions and real images as sets, from means and covariances of the judge's "
        "features. It measures realism and does not show a leak. Values compare only between equal numbers of images, "
        "and not with FID, which is the same distance on Inception's features.",
        places=("details",),
        on_request=True,
    ),
    Metric(
        "judge_kd",
        lambda reconstruction, original: evaluation.kernel_distance(reconstruction, original),
        title="Kernel distance, judge's features",
        higher_is_better=False,
        worst=0.0,
        needs="distribution",
        text="The same comparison with a kernel (squared MMD). It measures realism and does not show a leak. Values do "
        "not compare with KID, which is the same distance on Inception's features.",
        places=("details",),
        on_request=True,
    ),
    Metric(
        "fid",
        lambda reconstruction, original: evaluation.frechet_distance(reconstruction, original),
        title="FID",
        higher_is_better=False,
        worst=0.0,
        needs="inception",
        text="The Fréchet distance on Inception's features, as published. It measures realism and does not show a "
        "leak. Values compare only between equal numbers of images.",
        places=("details",),
        on_request=True,
    ),
    Metric(
        "kid",
        lambda reconstruction, original: evaluation.kernel_distance(reconstruction, original),
        title="KID",
        higher_is_better=False,
        worst=0.0,
        needs="inception",
        text="The kernel distance on Inception's features, as published. It measures realism and does not show a leak.",
        places=("details",),
        on_request=True,
    ),
)
_OTHERS = (
    Metric(
        "identified_bits",
        None,
        title="Identified bits",
        unit="bits",
        higher_is_better=True,
        worst=0.0,
        needs="public",
        text="How much a reconstruction says, at least, about which of the private images it is of: 0 is nothing, "
        "log2 of their number is certainty. A lower bound on the mutual information of image and vector.",
        places=("details",),
        on_request=True,
    ),
    Metric(
        "memorised",
        None,
        title="Memorisation",
        unit="%",
        factor=100,
        higher_is_better=False,
        worst=0.0,
        needs="public",
        text="Share of reconstructions that are more similar to some public image, a training image of the attack, "
        "than to the original.",
        places=("details",),
        on_request=True,
    ),
    Metric(
        "nearest_public_rate",
        None,
        title="Nearest image is public",
        unit="%",
        factor=100,
        higher_is_better=False,
        worst=0.0,
        needs="public",
        text="Share of reconstructions whose most similar image, the original excluded, is a public one. A rate above "
        "chance is a sign of memorisation. The rate has no meaning for a row that always shows the same image.",
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
        text="Share of images whose attribute a linear probe predicts correctly from the reconstruction.",
        places=(),
        on_request=True,
    ),
    Metric(
        "target_cosine",
        None,
        title="Target similarity",
        higher_is_better=True,
        worst=-1.0,
        needs="victim",
        text="A diagnostic: cosine of the released vector and the vector of the reconstruction. Texture without "
        "visible content can raise it.",
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
    *PERSONS,
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
