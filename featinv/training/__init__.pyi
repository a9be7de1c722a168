from .adversarial_step import AdversarialStep as AdversarialStep
from .adversary import Adversary as Adversary
from .checkpoints import Checkpoints as Checkpoints
from .classifier import train_classifier as train_classifier
from .classifier_accuracy import PIXEL_MEAN as PIXEL_MEAN
from .classifier_accuracy import PIXEL_STD as PIXEL_STD
from .classifier_accuracy import head_accuracies as head_accuracies
from .classifier_accuracy import label_accuracy as label_accuracy
from .classifier_settings import Ball as Ball
from .classifier_settings import ClassifierTraining as ClassifierTraining
from .collapse import CollapseWatch as CollapseWatch
from .ema import Ema as Ema
from .fitting import Fitted as Fitted
from .fitting import fit_decoder as fit_decoder
from .fitting import fit_steps as fit_steps
from .judge_training import train_judge as train_judge
from .selection import Selection as Selection
from .settings import Training as Training
from .snapshots import Snapshots as Snapshots
from .step import RegressionStep as RegressionStep
from .step import Step as Step
from .surrogate import train_surrogate as train_surrogate

__all__ = [
    "PIXEL_MEAN",
    "PIXEL_STD",
    "AdversarialStep",
    "Adversary",
    "Ball",
    "Checkpoints",
    "ClassifierTraining",
    "CollapseWatch",
    "Ema",
    "Fitted",
    "RegressionStep",
    "Selection",
    "Snapshots",
    "Step",
    "Training",
    "fit_decoder",
    "fit_steps",
    "head_accuracies",
    "label_accuracy",
    "train_classifier",
    "train_judge",
    "train_surrogate",
]
