from .extraction import extract as extract
from .live_rows import live as live
from .pairs import Pairs as Pairs

__all__ = ["Pairs", "extract", "live"]
