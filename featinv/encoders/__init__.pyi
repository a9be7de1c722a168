from . import networks as networks
from .checks import check_function as check_function
from .cifar_files import cifar_judge as cifar_judge
from .cifar_files import cifar_resnet as cifar_resnet
from .encoder import Encoder as Encoder
from .encoder import wrap as wrap
from .judge_files import judge as judge
from .judge_files import save_encoder as save_encoder
from .judge_files import save_judge as save_judge
from .judge_files import saved as saved
from .judge_files import tiny as tiny
from .judging import Judge as Judge
from .torchvision_models import torchvision as torchvision

__all__ = [
    "Encoder",
    "Judge",
    "check_function",
    "cifar_judge",
    "cifar_resnet",
    "judge",
    "networks",
    "save_encoder",
    "save_judge",
    "saved",
    "tiny",
    "torchvision",
    "wrap",
]
