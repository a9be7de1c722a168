from .decoder_attack import DecoderAttack as DecoderAttack
from .mean_image import MeanImage as MeanImage
from .nearest_neighbour import NearestNeighbour as NearestNeighbour
from .neighbour_average import NeighbourAverage as NeighbourAverage
from .persistence import load_attack as load_attack
from .persistence import save_attack as save_attack
from .predicted_class_mean import PredictedClassMean as PredictedClassMean
from .random_fourier import RandomFourier as RandomFourier
from .random_vector import RandomVector as RandomVector
from .recoloured_neighbour import RecolouredNeighbour as RecolouredNeighbour
from .ridge import Ridge as Ridge

__all__ = [
    "DecoderAttack",
    "MeanImage",
    "NearestNeighbour",
    "NeighbourAverage",
    "PredictedClassMean",
    "RandomFourier",
    "RandomVector",
    "RecolouredNeighbour",
    "Ridge",
    "load_attack",
    "save_attack",
]
