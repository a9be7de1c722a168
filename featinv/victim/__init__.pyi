from .published import Release as Release
from .published import features_must_match as features_must_match
from .published import release as release
from .victim import Victim as Victim

__all__ = ["Release", "Victim", "features_must_match", "release"]
