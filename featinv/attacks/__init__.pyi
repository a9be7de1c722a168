from .decoder_attack import DecoderAttack as DecoderAttack
from .mean_image import MeanImage as MeanImage
from .nearest_neighbour import NearestNeighbour as NearestNeighbour
from .neighbour_average import NeighbourAverage as NeighbourAverage
from .predicted_class_mean import PredictedClassMean as PredictedClassMean
from .ridge import Ridge as Ridge

__all__ = [
    "DecoderAttack",
    "MeanImage",
    "NearestNeighbour",
    "NeighbourAverage",
    "PredictedClassMean",
    "Ridge",
]
