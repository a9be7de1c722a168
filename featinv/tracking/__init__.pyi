from .one_call import log as log
from .study import Study as Study
from .tracking_settings import TrackingSettings as TrackingSettings

__all__ = ["Study", "TrackingSettings", "log"]
