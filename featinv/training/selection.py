"""Which weights are kept: judged on held-out public pairs, never on anything private."""

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from featinv import metrics, processes
from featinv.block_sizes import FACTOR, block_rows
from featinv.errors import Diverged
from featinv.training.progress import Progress
from featinv.types import PairsLike

IMAGES_AT_ONCE = 256


class Selection:
    """The best weights so far and their PSNR in dB; part of a checkpoint, so that resuming is exact."""

    def __init__(self) -> None:
        self.score = float("-inf")
        self.step = 0
        self.weights: dict[str, Tensor] | None = None

    def offer(self, network: nn.Module, score: float, step: int) -> bool:
        """Keep a copy of the weights if `score` is better than all before; says whether it was."""
        if self.weights is not None and not score > self.score:
            return False
        self.score, self.step, self.weights = score, step, copied_weights(network)
        return True

    def state_dict(self) -> dict[str, Any]:
        """Return what a resumed training needs."""
        return {"score": self.score, "step": self.step, "weights": self.weights}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from there."""
        self.score, self.step, self.weights = state["score"], state["step"], state["weights"]


def copied_weights(network: nn.Module) -> dict[str, Tensor]:
    """Return copies of all parameters and buffers by name."""
    return {name: tensor.detach().clone() for name, tensor in network.state_dict().items()}


def check_finite(weights: dict[str, Tensor], progress: Progress) -> None:
    """Raise Diverged naming the first weight that is not finite: a gradient overflowed after its loss was looked at."""
    for name, tensor in weights.items():
        if tensor.is_floating_point() and not bool(tensor.isfinite().all()):
            raise Diverged(
                f"the weight {name} was not finite after step {progress.step} ({progress.images} images); nothing "
                "saved before is lost. Try a smaller training.lr, or training.clip, and resume or start again."
            )


@torch.no_grad()
def validate(network: nn.Module, pairs: PairsLike, device: torch.device) -> float:
    """Return the mean PSNR in dB of a network on pairs, in eval mode; the processes share the pairs out."""
    was_training = network.training
    network.eval()
    mine = np.arange(processes.rank(), len(pairs), processes.world_size())
    total = torch.zeros((), dtype=torch.float64)
    step = IMAGES_AT_ONCE
    if device.type == "cpu":  # not measured: a compiled network takes no hooks
        step = block_rows(FACTOR * 4 * 3 * pairs.image_size**2, most=step)
    for start in range(0, len(mine), step):
        features, images = pairs.batch(mine[start : start + step])
        reconstructed = network(features.to(device)).float().clamp(0, 1)
        total += metrics.psnr(reconstructed, images.to(device).float()).double().sum().cpu()
    network.train(was_training)
    if processes.world_size() > 1:
        on_device = total.to(device)
        torch.distributed.all_reduce(on_device)
        total = on_device.cpu()
    return float(total) / len(pairs)
