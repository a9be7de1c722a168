from .folders import Reconstructions as Reconstructions
from .folders import read_originals as read_originals
from .folders import read_reconstructions as read_reconstructions
from .scoring import run_score as run_score
from .scoring import score as score
from .settings import ScoreSettings as ScoreSettings

__all__ = ["Reconstructions", "ScoreSettings", "read_originals", "read_reconstructions", "run_score", "score"]
