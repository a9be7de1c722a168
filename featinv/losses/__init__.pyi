from .objective import Loss as Loss
from .objective import Objective as Objective
from .objective import Term as Term
from .pixel import BCE as BCE
from .pixel import L1 as L1
from .pixel import MSE as MSE
from .pixel import bce_floor as bce_floor

__all__ = ["BCE", "L1", "MSE", "Loss", "Objective", "Term", "bce_floor"]
