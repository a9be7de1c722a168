from .pixel import low_pass_psnr as low_pass_psnr
from .pixel import mse as mse
from .pixel import psnr as psnr
from .structure import ssim as ssim
from .value_range import checked_pair as checked_pair
from .value_range import rounded as rounded

__all__ = ["checked_pair", "low_pass_psnr", "mse", "psnr", "rounded", "ssim"]
