from .adversarial import AdversarialLoss as AdversarialLoss
from .adversarial import adaptive_weight as adaptive_weight
from .adversarial import hinge as hinge
from .adversarial import least_squares as least_squares
from .adversarial import non_saturating as non_saturating
from .adversarial import relativistic as relativistic
from .adversarial import wasserstein as wasserstein
from .drawn import Drawn as Drawn
from .feature_consistency import FeatureConsistency as FeatureConsistency
from .feature_maps import Perceptual as Perceptual
from .identification import Identification as Identification
from .imagenet import LPIPS as LPIPS
from .imagenet import VGGFeatures as VGGFeatures
from .objective import Loss as Loss
from .objective import Objective as Objective
from .objective import Term as Term
from .penalties import R1 as R1
from .penalties import R2 as R2
from .penalties import GradientPenalty as GradientPenalty
from .penalties import LeCam as LeCam
from .penalties import Penalty as Penalty
from .pixel import BCE as BCE
from .pixel import L1 as L1
from .pixel import MSE as MSE
from .pixel import bce_floor as bce_floor
from .random_views import RandomViews as RandomViews
from .structural import MSSSIM as MSSSIM
from .structural import SSIM as SSIM
from .whitened_features import WhitenedFeatures as WhitenedFeatures
from .whitened_features import public_features as public_features
from .whitened_features import residual_whitener as residual_whitener

__all__ = [
    "BCE",
    "L1",
    "LPIPS",
    "MSE",
    "MSSSIM",
    "R1",
    "R2",
    "SSIM",
    "AdversarialLoss",
    "Drawn",
    "FeatureConsistency",
    "GradientPenalty",
    "Identification",
    "LeCam",
    "Loss",
    "Objective",
    "Penalty",
    "Perceptual",
    "RandomViews",
    "Term",
    "VGGFeatures",
    "WhitenedFeatures",
    "adaptive_weight",
    "bce_floor",
    "hinge",
    "least_squares",
    "non_saturating",
    "public_features",
    "relativistic",
    "residual_whitener",
    "wasserstein",
]
