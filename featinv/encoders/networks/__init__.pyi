from .convnext_small import SmallConvNeXt as SmallConvNeXt
from .cut_copy import CutCopy as CutCopy
from .mixer_small import SmallMixer as SmallMixer
from .resnet_cifar import CifarResNet as CifarResNet
from .resnet_small import SmallResNet as SmallResNet
from .vgg_small import SmallVGG as SmallVGG
from .vit_small import SmallViT as SmallViT

__all__ = ["CifarResNet", "CutCopy", "SmallConvNeXt", "SmallMixer", "SmallResNet", "SmallVGG", "SmallViT"]
