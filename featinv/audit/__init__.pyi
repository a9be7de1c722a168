from .running import Outcome as Outcome
from .running import run_audit as run_audit
from .settings import AuditSettings as AuditSettings

__all__ = ["AuditSettings", "Outcome", "run_audit"]
