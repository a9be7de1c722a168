from .extraction import extract as extract
from .live_rows import live as live
from .loading import load_features as load_features
from .opening import open_store as open_store
from .pairs import Pairs as Pairs
from .vectors import Vectors as Vectors
from .vectors import pair as pair

__all__ = ["Pairs", "Vectors", "extract", "live", "load_features", "open_store", "pair"]
