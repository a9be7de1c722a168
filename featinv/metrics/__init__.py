"""Metrics: (images, images) -> (B,), one number an image; whoever calls reduces. `Metric` describes one.

Nothing here keeps an image or a running sum. torchmetrics (which imports torchvision) loads with the first metric.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
