"""The contracts of judges: images -> (features, logits)."""

from typing import Any

from featinv.processes import seeded
from featinv.testing.contracts import demand, demand_tensor, label
from featinv.testing.encoder_contracts import check_frozen, check_identity
from featinv.testing.synthetic import synthetic_images


def check_judge(judge: Any) -> None:
    """Raise AssertionError unless `judge` can score reconstructions.

    `name`, `family`, `fingerprint`, `image_size` and `trained_on` are set; images of any size give float32 features
    (B, D) and logits (B, K); otherwise as for `check_encoder`.
    """
    name = label(judge)
    check_identity(judge, name)
    demand(
        isinstance(getattr(judge, "trained_on", None), str),
        f"{name}.trained_on must be a string that names its training data",
    )
    images = synthetic_images(4, size=judge.image_size)
    with seeded(0):
        for batch in (images, synthetic_images(2, size=judge.image_size + 12)):
            outputs = judge(batch)
            demand(isinstance(outputs, tuple) and len(outputs) == 2, f"{name} must return (features, logits)")
            for what, value in zip(("features", "logits"), outputs, strict=True):
                width = value.shape[-1]
                demand_tensor(value, (len(batch), width), f"the {what} of {name}")
            classes = outputs[1].shape[-1]
            demand(classes >= 2, f"{name} must have logits of at least two classes, got {classes}")
        check_frozen(judge, lambda batch: judge(batch)[0], images, name)
        check_frozen(judge, lambda batch: judge(batch)[1], images, name)
