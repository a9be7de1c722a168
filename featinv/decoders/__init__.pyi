from .listik import Listik as Listik
from .retrieval import RetrievalUpsampling as RetrievalUpsampling
from .upsampling import Upsampling as Upsampling

__all__ = ["Listik", "RetrievalUpsampling", "Upsampling"]
