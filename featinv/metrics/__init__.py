"""Metrics: (images, images) -> (B,), one number for each image; the caller reduces. `Metric` describes one.

No metric keeps images or running sums. torchmetrics (which imports torchvision) is imported with the first metric.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
