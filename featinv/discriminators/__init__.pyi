from .convolutional import DCGAN as DCGAN
from .convolutional import Patch as Patch
from .diff_augment import DiffAugment as DiffAugment
from .discriminator import Discriminator as Discriminator
from .frozen_features import FrozenFeatures as FrozenFeatures
from .projection import Projection as Projection

__all__ = ["DCGAN", "DiffAugment", "Discriminator", "FrozenFeatures", "Patch", "Projection"]
