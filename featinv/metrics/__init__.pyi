from .inception import inception_features as inception_features
from .metric import Metric as Metric
from .perceptual import dists as dists
from .perceptual import lpips as lpips
from .pixel import low_pass_psnr as low_pass_psnr
from .pixel import mse as mse
from .pixel import psnr as psnr
from .structure import ms_ssim as ms_ssim
from .structure import ssim as ssim
from .value_range import checked_pair as checked_pair
from .value_range import rounded as rounded

__all__ = [
    "Metric",
    "checked_pair",
    "dists",
    "inception_features",
    "low_pass_psnr",
    "lpips",
    "ms_ssim",
    "mse",
    "psnr",
    "rounded",
    "ssim",
]
