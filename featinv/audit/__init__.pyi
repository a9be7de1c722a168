from .running import Outcome as Outcome
from .running import gate as gate
from .running import run_audit as run_audit
from .settings import AuditSettings as AuditSettings
from .suite import Situation as Situation
from .suite import SuiteEntry as SuiteEntry
from .suite import plan_suite as plan_suite

__all__ = ["AuditSettings", "Outcome", "Situation", "SuiteEntry", "gate", "plan_suite", "run_audit"]
