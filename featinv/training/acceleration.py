"""The accelerator of one training."""

import contextlib
import os
from collections.abc import Iterator

from accelerate import Accelerator, DistributedType
from accelerate.state import AcceleratorState

from featinv import precision, processes
from featinv.errors import BadInput
from featinv.training.settings import Training

_REFUSED = (DistributedType.FSDP, DistributedType.DEEPSPEED, DistributedType.MEGATRON_LM)


@contextlib.contextmanager
def accelerating(settings: Training) -> Iterator[Accelerator]:
    """Yield an Accelerator for one training; trainings of different precision may follow each other in one process.

    Accelerate keeps the first Accelerator's precision for the life of the process and refuses another; so its state is
    put aside meanwhile and restored afterwards. Under `accelerate launch` the cores are shared out among the processes.
    Raises BadInput for fp16 on a CPU and for anything but plain data parallelism.
    """
    # Machines of one training may differ: the main process's hardware decides for all.
    chosen = processes.broadcast(precision.resolve(settings.mixed_precision, processes.device()))
    if "ACCELERATE_MIXED_PRECISION" in os.environ:
        processes.share_threads()
    before = dict(AcceleratorState._shared_state)
    AcceleratorState._reset_state()
    try:
        accelerator = Accelerator(mixed_precision=chosen, dynamo_backend="no")
        if (kind := accelerator.distributed_type) in _REFUSED:
            raise BadInput(
                f"accelerate launch: {kind.value} was asked for; decoders and their adversaries are trained with plain "
                "DDP only, because Accelerate's FSDP2 and DeepSpeed refuse two models"
            )
        try:
            yield accelerator
        finally:
            accelerator.free_memory()
    finally:
        AcceleratorState._reset_state()
        AcceleratorState._shared_state.update(before)
