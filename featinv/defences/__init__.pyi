from .chains import fingerprint as fingerprint
from .chains import fit as fit
from .chains import least_batch as least_batch
from .chains import parts as parts
from .chains import whole_release as whole_release
from .clip import Clip as Clip
from .clip import TopK as TopK
from .codes import Codebook as Codebook
from .codes import ProductCodes as ProductCodes
from .defence import Defence as Defence
from .defence import Learned as Learned
from .identity import Identity as Identity
from .likelihood import known_release as known_release
from .likelihood import log_likelihood as log_likelihood
from .microaggregation import Microaggregate as Microaggregate
from .noise import GaussianNoise as GaussianNoise
from .noise import Laplace as Laplace
from .noise import ShapedNoise as ShapedNoise
from .persistence import load as load
from .persistence import save as save
from .projections import PCA as PCA
from .projections import RandomRotation as RandomRotation
from .projections import RemoveSubspace as RemoveSubspace
from .quantisation import Sign as Sign
from .quantisation import Uniform as Uniform

__all__ = [
    "PCA",
    "Clip",
    "Codebook",
    "Defence",
    "GaussianNoise",
    "Identity",
    "Laplace",
    "Learned",
    "Microaggregate",
    "ProductCodes",
    "RandomRotation",
    "RemoveSubspace",
    "ShapedNoise",
    "Sign",
    "TopK",
    "Uniform",
    "fingerprint",
    "fit",
    "known_release",
    "least_batch",
    "load",
    "log_likelihood",
    "parts",
    "save",
    "whole_release",
]
