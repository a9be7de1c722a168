from .attacking import AttackVectors as AttackVectors
from .candidates import GRID as GRID
from .candidates import Candidate as Candidate
from .candidates import read_candidates as read_candidates
from .decision import read_decision as read_decision
from .measurement import Measurement as Measurement
from .numpy_lines import numpy_lines as numpy_lines
from .policy import Keep as Keep
from .policy import Policy as Policy
from .running import Decision as Decision
from .running import one_line as one_line
from .running import recommend as recommend
from .running import run_defend as run_defend
from .settings import DefendSettings as DefendSettings
from .verdicts import Verdict as Verdict
from .verdicts import judge as judge

__all__ = [
    "GRID",
    "AttackVectors",
    "Candidate",
    "Decision",
    "DefendSettings",
    "Keep",
    "Measurement",
    "Policy",
    "Verdict",
    "judge",
    "numpy_lines",
    "one_line",
    "read_candidates",
    "read_decision",
    "recommend",
    "run_defend",
]
