from .attack_score import AttackScore as AttackScore
from .calibration import Calibration as Calibration
from .calibration import calibrate as calibrate
from .calibration_record import CalibrationRecord as CalibrationRecord
from .calibration_record import read_calibration as read_calibration
from .calibration_record import with_calibration as with_calibration
from .calibration_tests import coverage as coverage
from .calibration_tests import rank_histograms as rank_histograms
from .calibration_tests import two_sample as two_sample
from .catalogue import METRICS as METRICS
from .catalogue import Catalogue as Catalogue
from .ceiling import Ceiling as Ceiling
from .ceiling import reidentification_ceiling as reidentification_ceiling
from .checks import check_attack_names as check_attack_names
from .checks import check_judges as check_judges
from .chosen_metrics import check_metrics as check_metrics
from .comparison import compare as compare
from .contact_sheets import contact_sheet as contact_sheet
from .contact_sheets import decile_indices as decile_indices
from .contact_sheets import grid as grid
from .contact_sheets import sample as sample
from .contact_sheets import samples as samples
from .copying import CopyRate as CopyRate
from .copying import copy_rate as copy_rate
from .distribution import frechet_distance as frechet_distance
from .distribution import kernel_distance as kernel_distance
from .intervals import Interval as Interval
from .intervals import bootstrap as bootstrap
from .intervals import excess_risk as excess_risk
from .intervals import hierarchical as hierarchical
from .intervals import paired as paired
from .intervals import rate as rate
from .intervals import wilson as wilson
from .judging import JudgeOutputs as JudgeOutputs
from .judging import feature_cosines as feature_cosines
from .leak_level import Evidence as Evidence
from .leak_level import LeakLevel as LeakLevel
from .leak_level import Thresholds as Thresholds
from .mean_square_law import MeanSquareLaw as MeanSquareLaw
from .mean_square_law import mean_square_law as mean_square_law
from .mutual_information import choose_temperature as choose_temperature
from .mutual_information import identified_bits as identified_bits
from .pairing import Pairing as Pairing
from .pairing import check_pairing as check_pairing
from .people import check_persons as check_persons
from .positive_controls import Check as Check
from .recovered import RecoveredSpectrum as RecoveredSpectrum
from .recovered import greyed as greyed
from .recovered import known_map as known_map
from .recovered import recovered_cells as recovered_cells
from .recovered import recovered_spectrum as recovered_spectrum
from .recovered_record import Recovered as Recovered
from .recovered_record import public_cell_variance as public_cell_variance
from .recovered_record import read_recovered as read_recovered
from .reidentification import ranks as ranks
from .representational_similarity import representational_similarity as representational_similarity
from .sample_sheets import DrawnSamples as DrawnSamples
from .sample_sheets import draw_samples as draw_samples
from .sample_sheets import sample_sheet as sample_sheet
from .sampler_test import calibrated as calibrated
from .scoreboard import Scoreboard as Scoreboard
from .scoreboard import load_scoreboard as load_scoreboard
from .significance import holm as holm
from .significance import mcnemar as mcnemar
from .utility import Utility as Utility
from .utility import UtilityVectors as UtilityVectors
from .utility import utility as utility
from .utility import utility_kept as utility_kept
from .vector_linkage import CurvePoint as CurvePoint
from .vector_linkage import Linkage as Linkage
from .vector_linkage import aligned_linkage as aligned_linkage
from .vector_linkage import alignment_curve as alignment_curve
from .vector_linkage import nearest_linkage as nearest_linkage
from .verification import cumulative_match as cumulative_match
from .verification import true_accept_rate as true_accept_rate
from .verification import verification as verification
from .versus import Versus as Versus

__all__ = [
    "METRICS",
    "AttackScore",
    "Calibration",
    "CalibrationRecord",
    "Catalogue",
    "Ceiling",
    "Check",
    "CopyRate",
    "CurvePoint",
    "DrawnSamples",
    "Evidence",
    "Interval",
    "JudgeOutputs",
    "LeakLevel",
    "Linkage",
    "MeanSquareLaw",
    "Pairing",
    "Recovered",
    "RecoveredSpectrum",
    "Scoreboard",
    "Thresholds",
    "Utility",
    "UtilityVectors",
    "Versus",
    "aligned_linkage",
    "alignment_curve",
    "bootstrap",
    "calibrate",
    "calibrated",
    "check_attack_names",
    "check_judges",
    "check_metrics",
    "check_pairing",
    "check_persons",
    "choose_temperature",
    "compare",
    "contact_sheet",
    "copy_rate",
    "coverage",
    "cumulative_match",
    "decile_indices",
    "draw_samples",
    "excess_risk",
    "feature_cosines",
    "frechet_distance",
    "greyed",
    "grid",
    "hierarchical",
    "holm",
    "identified_bits",
    "kernel_distance",
    "known_map",
    "load_scoreboard",
    "mcnemar",
    "mean_square_law",
    "nearest_linkage",
    "paired",
    "public_cell_variance",
    "rank_histograms",
    "ranks",
    "rate",
    "read_calibration",
    "read_recovered",
    "recovered_cells",
    "recovered_spectrum",
    "reidentification_ceiling",
    "representational_similarity",
    "sample",
    "sample_sheet",
    "samples",
    "true_accept_rate",
    "two_sample",
    "utility",
    "utility_kept",
    "verification",
    "wilson",
    "with_calibration",
]
