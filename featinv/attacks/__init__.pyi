from .aligned import Aligned as Aligned
from .controls import MeanImage as MeanImage
from .controls import PredictedClassMean as PredictedClassMean
from .controls import RandomVector as RandomVector
from .decoder_attack import DecoderAttack as DecoderAttack
from .denoised import Denoised as Denoised
from .ensemble import Ensemble as Ensemble
from .flow_attack import FlowAttack as FlowAttack
from .neighbours import NearestNeighbour as NearestNeighbour
from .neighbours import NeighbourAverage as NeighbourAverage
from .optimisation import OptimisationAttack as OptimisationAttack
from .persistence import load_attack as load_attack
from .persistence import save_attack as save_attack
from .prior_attack import PriorAttack as PriorAttack
from .random_fourier import RandomFourier as RandomFourier
from .recoloured_neighbour import RecolouredNeighbour as RecolouredNeighbour
from .refined import Refined as Refined
from .retouched import Retouched as Retouched
from .ridge import Ridge as Ridge
from .sampling import medoid as medoid
from .sampling import sample_blocks as sample_blocks

__all__ = [
    "Aligned",
    "DecoderAttack",
    "Denoised",
    "Ensemble",
    "FlowAttack",
    "MeanImage",
    "NearestNeighbour",
    "NeighbourAverage",
    "OptimisationAttack",
    "PredictedClassMean",
    "PriorAttack",
    "RandomFourier",
    "RandomVector",
    "RecolouredNeighbour",
    "Refined",
    "Retouched",
    "Ridge",
    "load_attack",
    "medoid",
    "sample_blocks",
    "save_attack",
]
