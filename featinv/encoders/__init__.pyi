from . import networks as networks
from .black_box import BlackBox as BlackBox
from .black_box import black_box as black_box
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
from .onnx_models import onnx as onnx
from .open_clip_models import open_clip as open_clip
from .timm_models import timm as timm
from .torchvision_models import torchvision as torchvision
from .transformers_models import transformers as transformers

__all__ = [
    "BlackBox",
    "Encoder",
    "Judge",
    "black_box",
    "check_function",
    "cifar_judge",
    "cifar_resnet",
    "judge",
    "networks",
    "onnx",
    "open_clip",
    "save_encoder",
    "save_judge",
    "saved",
    "timm",
    "tiny",
    "torchvision",
    "transformers",
    "wrap",
]
