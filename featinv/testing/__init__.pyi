from .attack_contracts import check_attack as check_attack
from .decoder_contracts import check_decoder as check_decoder
from .defence_contracts import check_defence as check_defence
from .discriminator_contracts import check_discriminator as check_discriminator
from .encoder_contracts import check_encoder as check_encoder
from .judge_contracts import check_judge as check_judge
from .loss_contracts import check_loss as check_loss
from .metric_contracts import check_metric as check_metric
from .sampling_contracts import check_sampler as check_sampler
from .synthetic import synthetic_images as synthetic_images
from .synthetic import synthetic_pairs as synthetic_pairs

__all__ = [
    "check_attack",
    "check_decoder",
    "check_defence",
    "check_discriminator",
    "check_encoder",
    "check_judge",
    "check_loss",
    "check_metric",
    "check_sampler",
    "synthetic_images",
    "synthetic_pairs",
]
