"""CIFAR-10 through torchvision, for those who have it or a network."""

from pathlib import Path

import numpy as np

from featinv import processes
from featinv.data.imageset import ImageSet
from featinv.errors import BadInput


def cifar10(root: Path | str, *, train: bool, download: bool = False) -> ImageSet:
    """Read CIFAR-10 (Krizhevsky 2009): 50,000 training or 10,000 test images of 32 px in 10 classes.

    `root` is where torchvision keeps `cifar-10-batches-py`; `download` fetches it. Those batches are pickles:
    torchvision checks the MD5 of each against its own list before it opens them. Raises BadInput when they are missing
    or damaged.
    """
    # Imported here: torchvision takes seconds, and no other image source needs it.
    from torchvision.datasets import CIFAR10

    try:
        with processes.main_first():
            source = CIFAR10(str(root), train=train, download=download and processes.is_main())
    except (RuntimeError, OSError) as error:
        raise BadInput(
            f"{root}: expected CIFAR-10 as torchvision keeps it (cifar-10-batches-py), found none or a damaged one "
            f"({' '.join(str(error).split())}); use download=True, or unpack cifar-10-python.tar.gz there"
        ) from error
    side = "train" if train else "test"
    return ImageSet(
        np.asarray(source.data),
        ids=[f"cifar10-{side}-{row:05d}" for row in range(len(source.data))],
        labels=np.asarray(source.targets),
        classes=source.classes,
        provenance={"source": "cifar10", "side": side, "size": 32},
    )
