from .mixer_small import SmallMixer as SmallMixer
from .resnet_cifar import CifarResNet as CifarResNet
from .resnet_small import SmallResNet as SmallResNet
from .vgg_small import SmallVGG as SmallVGG

__all__ = ["CifarResNet", "SmallMixer", "SmallResNet", "SmallVGG"]
