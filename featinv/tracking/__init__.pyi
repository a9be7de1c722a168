from .study import Study as Study
from .study import log as log
from .tracking_settings import TrackingSettings as TrackingSettings

__all__ = ["Study", "TrackingSettings", "log"]
