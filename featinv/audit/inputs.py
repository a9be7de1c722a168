"""What an audit was made of: fingerprints by which a folder is known again."""

from typing import TYPE_CHECKING, Any

import featinv as fi
from featinv.audit.measuring import PACKAGED
from featinv.audit.settings import AuditSettings
from featinv.audit.sources import Source, identity_of

if TYPE_CHECKING:
    from featinv.data import ImageSet


def inputs_of(settings: AuditSettings, source: Source, public: "ImageSet", private: "ImageSet") -> dict[str, Any]:
    """Return the fingerprints of vectors or victim (weights, layer, size, defence), both sides and the judges.

    A victim without weights at hand, a wrapped callable, is known by its outputs on a few probe images. A judge that
    the audit trains follows from the public images and the settings. Raises BadInput for a judge that cannot be read.
    """
    sources = settings.judges or (PACKAGED,)
    trained = "trained on the public images"
    judges = trained if settings.train_judge else [fi.encoders.judge(source).fingerprint for source in sources]
    return {
        "the vectors or what makes them": source.fingerprint,
        "the public images": identity_of(public),
        "the private images": identity_of(private),
        "the judges": judges,
        "the versions of featinv": fi.__version__,
    }
