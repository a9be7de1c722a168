from .adversarial_step import AdversarialStep as AdversarialStep
from .adversary import Adversary as Adversary
from .bank import bank_members as bank_members
from .bank import check_bank as check_bank
from .bank import class_targets as class_targets
from .bank import cluster_targets as cluster_targets
from .bank import targets_of as targets_of
from .bank import train_bank as train_bank
from .bank import train_members as train_members
from .callbacks import Snapshots as Snapshots
from .checkpoints import Checkpoints as Checkpoints
from .classifier import train_classifier as train_classifier
from .classifier import train_judge as train_judge
from .classifier_accuracy import PIXEL_MEAN as PIXEL_MEAN
from .classifier_accuracy import PIXEL_STD as PIXEL_STD
from .classifier_accuracy import head_accuracies as head_accuracies
from .classifier_accuracy import label_accuracy as label_accuracy
from .collapse import CollapseWatch as CollapseWatch
from .fitting import FitOptions as FitOptions
from .fitting import Fitted as Fitted
from .fitting import fit_decoder as fit_decoder
from .fitting import fit_steps as fit_steps
from .network_optimizer import Ema as Ema
from .selection import Selection as Selection
from .settings import Ball as Ball
from .settings import ClassifierTraining as ClassifierTraining
from .settings import Training as Training
from .step import RegressionStep as RegressionStep
from .step import Step as Step
from .surrogate import train_surrogate as train_surrogate
from .victim_copy import robust_copy as robust_copy

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
    "FitOptions",
    "Fitted",
    "RegressionStep",
    "Selection",
    "Snapshots",
    "Step",
    "Training",
    "bank_members",
    "check_bank",
    "class_targets",
    "cluster_targets",
    "fit_decoder",
    "fit_steps",
    "head_accuracies",
    "label_accuracy",
    "robust_copy",
    "targets_of",
    "train_bank",
    "train_classifier",
    "train_judge",
    "train_members",
    "train_surrogate",
]
