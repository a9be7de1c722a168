"""What an attacker sees who holds several releases of the same images: their mean."""

from collections.abc import Sequence
from typing import final

import numpy as np
from torch import nn

from featinv.errors import BadInput
from featinv.types import Features
from featinv.victim.published import Release
from featinv.victim.victim import Victim


@final
class MeanOfReleases(nn.Module):
    """features -> the mean of `releases` independent draws of `defence`: no defence, but what remains of one.

    `Victim(encoder, MeanOfReleases(defence, m))` is the victim as an attacker with m releases of each image faces it:
    extracting public pairs from it retrains an attack on averaged vectors. Zero-mean noise shrinks by sqrt(m), so that
    the ceiling of m releases of `GaussianNoise(std)` is that of `GaussianNoise(std / sqrt(m))`; a deterministic defence
    stays as it is. Raises BadInput for fewer than 1 release.
    """

    def __init__(self, defence: nn.Module, releases: int) -> None:
        super().__init__()
        if isinstance(releases, bool) or not isinstance(releases, int) or releases < 1:
            raise BadInput(f"releases: expected a whole number of at least 1, got {releases!r}")
        self.defence = defence
        self.releases = releases

    @property
    def deterministic(self) -> bool:
        """Whether equal features always give equal outputs, as far as the defence says."""
        return getattr(self.defence, "deterministic", False) is True

    def forward(self, features: Features) -> Features:
        """Return the mean of fresh draws, (B, *F) as the defence makes them."""
        total = self.defence(features)
        if self.deterministic:
            return total
        for _ in range(self.releases - 1):
            total = total + self.defence(features)
        return total if self.releases == 1 else total / self.releases

    def extra_repr(self) -> str:
        """Show the number of releases: the victim's fingerprint reads it."""
        return f"releases={self.releases}"


def average_releases(releases: Sequence[Release]) -> Release:
    """Return the mean of several releases of the same images, as the release that an attacker makes of them.

    Where the victim is known, the mean is a release of `MeanOfReleases` of its defence, so that attacks trained on
    public pairs of that one fit. Raises BadInput for no release, other images, victims, counts or shapes, and for two
    releases of the same seed, which are one draw.
    """
    if not releases:
        raise BadInput("releases: expected at least one, got none")
    first = releases[0]
    if len(releases) == 1:
        return first
    for number, other in enumerate(releases[1:], start=1):
        for key in ("private_fingerprint", "fingerprint", "feature_shape", "count"):
            ours, theirs = first.metadata.get(key), other.metadata.get(key)
            if ours is not None and theirs is not None and ours != theirs:
                raise BadInput(f"releases: expected the {key} of the first, {ours}, got {theirs} in release {number}")
        if other.features.shape != first.features.shape:
            raise BadInput(
                f"releases: expected vectors of shape {first.features.shape}, got {other.features.shape} in release "
                f"{number}; give releases of the same images in the same order"
            )
    seeds = [release.metadata.get("seed") for release in releases]
    given_seeds = [seed for seed in seeds if seed is not None]
    if len(set(given_seeds)) < len(given_seeds):
        raise BadInput(
            f"releases: expected draws of different seeds, got {given_seeds}; the same seed is the same draw"
        )
    mean = np.asarray(np.mean([released.features for released in releases], axis=0, dtype=np.float64), dtype=np.float32)
    victim, metadata = first.victim, {**first.metadata, "fingerprint": None}
    if victim is not None:
        victim = Victim(victim.encoder, MeanOfReleases(victim.defence, len(releases)))
        metadata |= victim.metadata
    else:
        metadata["name"] = f"mean of {len(releases)} releases of {first.metadata.get('name')}"
    return Release(mean, {**metadata, "seed": None}, first.truth, victim)
