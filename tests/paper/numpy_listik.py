"""The notebook's network, loss and optimiser in NumPy, float64, channels last, from Keras's definitions.

Shares no code with featinv, so that the two agree only where both are right.
"""

import numpy as np

EPSILON = 1e-7
"""Keras's default: where it clips a prediction, and what its Adadelta adds inside both roots"""


def layers(width: int, size: int) -> list[tuple[int, int, int]]:
    """Return (kernel, channels in, channels out) of every convolution."""
    filters = [2048, 1024, 512, 256, 128, 64][-round(np.log2(size / 4)) :]
    before = [width // 16, *filters]
    return [(3, one, two) for one, two in zip(before, filters, strict=False)] + [(2, filters[-1], 3)]


def padded(image: np.ndarray, k: int) -> np.ndarray:
    """TensorFlow's "same" at stride 1: of k - 1 pixels the odd one goes right and bottom."""
    around = ((k - 1) // 2, k // 2)
    return np.pad(image, ((0, 0), around, around, (0, 0)))


def patches(image: np.ndarray, k: int) -> np.ndarray:
    """(B, H, W, C) -> (B * H * W, k * k * C): what each pixel of a convolution sees."""
    windows = np.lib.stride_tricks.sliding_window_view(padded(image, k), (k, k), axis=(1, 2))
    return windows.transpose(0, 1, 2, 4, 5, 3).reshape(-1, k * k * image.shape[3])


def convolve(image: np.ndarray, kernel: np.ndarray, bias: np.ndarray) -> np.ndarray:
    flat = patches(image, len(kernel)) @ kernel.reshape(-1, kernel.shape[3])
    return flat.reshape(*image.shape[:3], -1) + bias


def convolve_back(image: np.ndarray, kernel: np.ndarray, above: np.ndarray) -> tuple[np.ndarray, ...]:
    """Return the gradients of image, kernel and bias from that of the output."""
    k, (height, width) = len(kernel), image.shape[1:3]
    to_kernel = patches(image, k).T @ above.reshape(-1, above.shape[3])
    to_image = np.zeros_like(padded(image, k))
    for i in range(k):
        for j in range(k):
            to_image[:, i : i + height, j : j + width] += above @ kernel[i, j].T
    start = (k - 1) // 2
    inside = to_image[:, start : start + height, start : start + width]
    return inside, to_kernel.reshape(kernel.shape), above.sum((0, 1, 2))


def forward(weights: list[np.ndarray], vectors: np.ndarray) -> tuple[np.ndarray, list[np.ndarray]]:
    """Return images (B, S, S, 3) and what each convolution was given; weights are kernel, bias, kernel, bias, ..."""
    image, given = vectors.reshape(len(vectors), 4, 4, -1), []
    for kernel, bias in zip(weights[:-2:2], weights[1:-2:2], strict=True):
        given.append(image)
        image = convolve(image, kernel, bias)
        image = np.where(image > 0, image, 0.2 * image).repeat(2, axis=1).repeat(2, axis=2)
    given.append(image)
    return 1 / (1 + np.exp(-convolve(image, *weights[-2:]))), given


def cross_entropy(made: np.ndarray, target: np.ndarray) -> float:
    """Keras 2's binary_crossentropy as TensorFlow computes it: clip, take the logits back, cross-entropy of those."""
    clipped = np.clip(made, EPSILON, 1 - EPSILON)
    logits = np.log(clipped / (1 - clipped))
    return float(np.mean(np.maximum(logits, 0) - logits * target + np.log1p(np.exp(-np.abs(logits)))))


def gradients(weights: list[np.ndarray], vectors: np.ndarray, target: np.ndarray) -> tuple[float, list[np.ndarray]]:
    """Return the loss and its gradient for every weight."""
    made, given = forward(weights, vectors)
    free = (made > EPSILON) & (made < 1 - EPSILON)  # nothing comes back through the clip
    above, found = np.where(free, made - target, 0) / made.size, []
    for place in reversed(range(len(given))):
        above, *of_weights = convolve_back(given[place], weights[2 * place], above)
        found = [*of_weights, *found]
        if place:  # below lie the doubling, whose four copies add up, and the LeakyReLU, which keeps the sign
            batch, size, _, channels = above.shape
            above = above.reshape(batch, size // 2, 2, size // 2, 2, channels).sum((2, 4))
            above = above * np.where(given[place][:, ::2, ::2] > 0, 1, 0.2)
    return cross_entropy(made, target), found


class Adadelta:
    """keras.optimizers.Adadelta of Keras 2: lr 1.0, rho 0.95, epsilon 1e-7; changes the weights in place."""

    def __init__(self, weights: list[np.ndarray]) -> None:
        self.weights = weights
        self.squares = [np.zeros_like(weight) for weight in weights]
        self.updates = [np.zeros_like(weight) for weight in weights]

    def step(self, found: list[np.ndarray]) -> None:
        for weight, square, updated, gradient in zip(self.weights, self.squares, self.updates, found, strict=True):
            square[:] = 0.95 * square + 0.05 * gradient**2
            update = gradient * np.sqrt(updated + EPSILON) / np.sqrt(square + EPSILON)
            weight -= 1.0 * update
            updated[:] = 0.95 * updated + 0.05 * update**2
