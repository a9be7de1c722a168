"""Where the images and the vectors of an audit come from."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import featinv as fi
from featinv.audit.file_source import FileSource, open_files
from featinv.audit.live_source import LiveSource, open_victim
from featinv.audit.settings import WHY_PUBLIC, AuditSettings
from featinv.errors import BadInput

if TYPE_CHECKING:
    from featinv.data import ImageSet, Overlap

Source = LiveSource | FileSource
FEWEST = 50
"""public images below which no attack learns anything worth a verdict"""


def open_source(settings: AuditSettings) -> Source:
    """Build the victim, or read the vectors. Raises BadInput for whatever cannot be built or read."""
    return open_files(settings) if settings.features is not None else open_victim(settings)


def open_public(settings: AuditSettings, source: Source) -> "ImageSet":
    """Read the attacker's images. Raises BadInput where there are none, or too few to learn from."""
    assert settings.public is not None
    try:
        public = _load(settings.public, source, settings)
    except BadInput as error:
        raise BadInput(f"--public: {error} (public images are needed: {WHY_PUBLIC})") from error
    if len(public) < FEWEST:
        raise BadInput(
            f"--public: expected at least {FEWEST} images, got {len(public)} in {settings.public}; an attack that "
            "learns from so few says nothing of what leaks: give a few thousand"
        )
    return public


def open_private(
    settings: AuditSettings, source: Source, public: "ImageSet", store: Path
) -> "tuple[ImageSet, Overlap, fi.Release]":
    """Read the private images, refuse those that are public too, and draw the release, kept in `store`."""
    assert settings.private is not None
    try:
        private = _load(settings.private, source, settings)
    except BadInput as error:
        raise BadInput(f"--private: {error}") from error
    public, overlap = fi.data.disjoint(public, private)
    return public, overlap, source.release(private, settings.seed, store)


def identity_of(images: "ImageSet") -> dict[str, Any]:
    """Return what tells one set of images from another."""
    return {"count": len(images), "fingerprint": images.fingerprint}


def _load(path: str, source: Source, settings: AuditSettings) -> "ImageSet":
    """Read the images of one side. Raises BadInput where there are none."""
    # Not cached: decoded private images have no business in the folder of the results.
    encoder = source.victim.encoder if isinstance(source, LiveSource) else None
    return fi.data.open_images(path, size=source.size, smaller=settings.smaller, encoder=encoder)
