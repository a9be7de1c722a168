from .checklist import gate_checks as gate_checks
from .running import Outcome as Outcome
from .running import gate as gate
from .running import run_audit as run_audit
from .settings import AuditSettings as AuditSettings
from .suite import SUITE as SUITE
from .suite import SuitePlan as SuitePlan
from .suite import plan_suite as plan_suite
from .suite_entry import Situation as Situation
from .suite_entry import SuiteEntry as SuiteEntry
from .vectors import attack_vectors as attack_vectors

__all__ = [
    "SUITE",
    "AuditSettings",
    "Outcome",
    "Situation",
    "SuiteEntry",
    "SuitePlan",
    "attack_vectors",
    "gate",
    "gate_checks",
    "plan_suite",
    "run_audit",
]
