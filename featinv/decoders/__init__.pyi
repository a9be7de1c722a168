from .listik import Listik as Listik
from .redrawn import RedrawnNeighbour as RedrawnNeighbour
from .retrieval import RetrievalUpsampling as RetrievalUpsampling
from .upsampling import Upsampling as Upsampling

__all__ = ["Listik", "RedrawnNeighbour", "RetrievalUpsampling", "Upsampling"]
