from .published import Release as Release
from .published import features_must_match as features_must_match
from .published import release as release
from .repeated import MeanOfReleases as MeanOfReleases
from .repeated import average_releases as average_releases
from .victim import Victim as Victim

__all__ = ["MeanOfReleases", "Release", "Victim", "average_releases", "features_must_match", "release"]
