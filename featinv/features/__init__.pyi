from .extraction import extract as extract
from .extraction import live as live
from .extraction import release_vectors as release_vectors
from .loading import load_features as load_features
from .pairs import Pairs as Pairs
from .store import open_store as open_store
from .vectors import Vectors as Vectors
from .vectors import pair as pair

__all__ = ["Pairs", "Vectors", "extract", "live", "load_features", "open_store", "pair", "release_vectors"]
