from . import allocator as allocator
from . import assembly as assembly
from . import attacks as attacks
from . import audit as audit
from . import command_line as command_line
from . import configuration as configuration
from . import data as data
from . import decoders as decoders
from . import defences as defences
from . import defend as defend
from . import discriminators as discriminators
from . import encoders as encoders
from . import evaluation as evaluation
from . import features as features
from . import files as files
from . import hub as hub
from . import interop as interop
from . import losses as losses
from . import metrics as metrics
from . import precision as precision
from . import presets as presets
from . import processes as processes
from . import report as report
from . import testing as testing
from . import tracking as tracking
from . import training as training
from . import types as types
from . import victim as victim
from .attacks import load_attack as load_attack
from .attacks import save_attack as save_attack
from .errors import BadInput as BadInput
from .errors import Diverged as Diverged
from .evaluation import Scoreboard as Scoreboard
from .evaluation import compare as compare
from .evaluation import load_scoreboard as load_scoreboard
from .features import Pairs as Pairs
from .features import Vectors as Vectors
from .features import extract as extract
from .features import live as live
from .features import load_features as load_features
from .features import open_store as open_store
from .features import pair as pair
from .resize_crop import ResizeCrop as ResizeCrop
from .training import Adversary as Adversary
from .training import Training as Training
from .victim import Release as Release
from .victim import Victim as Victim
from .victim import release as release

__version__: str

__all__ = [
    "Adversary",
    "BadInput",
    "Diverged",
    "Pairs",
    "Release",
    "ResizeCrop",
    "Scoreboard",
    "Training",
    "Vectors",
    "Victim",
    "allocator",
    "assembly",
    "attacks",
    "audit",
    "command_line",
    "compare",
    "configuration",
    "data",
    "decoders",
    "defences",
    "defend",
    "discriminators",
    "encoders",
    "evaluation",
    "extract",
    "features",
    "files",
    "hub",
    "interop",
    "live",
    "load_attack",
    "load_features",
    "load_scoreboard",
    "losses",
    "metrics",
    "open_store",
    "pair",
    "precision",
    "presets",
    "processes",
    "release",
    "report",
    "save_attack",
    "testing",
    "tracking",
    "training",
    "types",
]
