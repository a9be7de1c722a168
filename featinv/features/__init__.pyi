from .extraction import extract as extract
from .live_rows import live as live
from .opening import open_store as open_store
from .pairs import Pairs as Pairs

__all__ = ["Pairs", "extract", "live", "open_store"]
