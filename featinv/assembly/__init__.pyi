from .adversary_settings import AdversarySettings as AdversarySettings
from .adversary_settings import build_adversary as build_adversary
from .attack_settings import AttackSettings as AttackSettings
from .attack_settings import Term as Term
from .attack_settings import build_attacks as build_attacks
from .attack_settings import build_objective as build_objective
from .image_settings import ImageSettings as ImageSettings
from .image_settings import load_images as load_images
from .image_settings import persons_on as persons_on
from .judge_settings import JudgeSettings as JudgeSettings
from .judge_settings import build_judges as build_judges
from .judge_settings import judge_fingerprints as judge_fingerprints
from .name_checks import check_names as check_names
from .persons import Persons as Persons
from .persons import persons_by_image as persons_by_image
from .persons import persons_of as persons_of
from .run_folder import RunFolder as RunFolder
from .run_inputs import inputs_of as inputs_of
from .run_inputs import judges_of as judges_of
from .run_inputs import show_again as show_again
from .victim_settings import VictimSettings as VictimSettings
from .victim_settings import build_victim as build_victim

__all__ = [
    "AdversarySettings",
    "AttackSettings",
    "ImageSettings",
    "JudgeSettings",
    "Persons",
    "RunFolder",
    "Term",
    "VictimSettings",
    "build_adversary",
    "build_attacks",
    "build_judges",
    "build_objective",
    "build_victim",
    "check_names",
    "inputs_of",
    "judge_fingerprints",
    "judges_of",
    "load_images",
    "persons_by_image",
    "persons_of",
    "persons_on",
    "show_again",
]
