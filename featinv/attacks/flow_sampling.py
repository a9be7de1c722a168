"""Heun's method from noise to an image, with a fixed number of steps."""

import itertools

import torch
from torch import Tensor, nn

from featinv.errors import BadInput
from featinv.types import Features, Images


def times(steps: int) -> list[float]:
    """Return the steps + 1 times 1 - (1 - i/steps)^2 from 0 (noise) to 1 (image): shorter steps towards the image.

    What varies little given the vector is decided late. Of a Gaussian posterior of deviation 0.1, in units of [-1, 1],
    12 steps make samples 1.03 times as wide as they should be; steps that are shorter at the noisy end, (i/12)^1.5,
    make them 0.60 times as wide, and a calibration would find the solver instead of the network.
    """
    return [1 - (1 - number / steps) ** 2 for number in range(steps + 1)]


def draw(network: nn.Module, features: Features, noise: Images, steps: int) -> Images:
    """Return the images (B, 3, S, S), in the network's units, that the flow of these vectors makes of the noise.

    dx/dt = (network(features, x, t) - x)/(1 - t), by Heun's method; the last step, at whose end the velocity is 0/0,
    is Euler's and ends in the network's own prediction (arXiv:2206.00364, algorithm 1). Raises BadInput naming the step
    after which an image is not finite.
    """

    def velocity(x: Tensor, time: float) -> Tensor:
        expected: Tensor = network(features, x, torch.full((len(x),), time, device=x.device))
        return (expected - x) / (1 - time)

    at = times(steps)
    x = noise
    for number, (time, later) in enumerate(itertools.pairwise(at), start=1):
        first = velocity(x, time)
        ahead = x + (later - time) * first
        x = ahead if number == steps else x + (later - time) / 2 * (first + velocity(ahead, later))
        if not bool(x.isfinite().all()):
            raise BadInput(
                f"FlowAttack: expected finite samples, got NaN or infinity after step {number} of {steps}; train with "
                "a smaller training.lr"
            )
    return x
