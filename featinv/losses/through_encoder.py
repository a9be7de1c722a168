"""What losses have in common that look at images through a frozen network."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from featinv.blocks import UnregisteredModule
from featinv.encoders import BlackBox, Encoder
from featinv.errors import BadInput
from featinv.losses.objective import Loss


class ThroughEncoder(Loss):
    """A loss that looks through a frozen encoder: abstract.

    The encoder is in neither `parameters()` nor `state_dict()`, copies of the loss share it, and `.to()` moves it to
    another device but never to another precision. It runs outside autocast. It may not judge what is trained with this
    loss: `fingerprints` excludes its weights. Raises BadInput for what is not an encoder, and for an encoder through
    which no gradient passes.
    """

    def __init__(self, encoder: nn.Module, fingerprint: str | None = None) -> None:
        super().__init__()
        if isinstance(encoder, BlackBox):
            raise BadInput(
                f"{type(self).__name__}: no gradient passes through {encoder.name}: {encoder.gradient_stop}; look "
                "through a surrogate of it (featinv.presets.two_surrogates, featinv.training.train_surrogate)"
            )
        if not isinstance(encoder, Encoder):
            raise BadInput(
                f"{type(self).__name__}: expected an encoder, got {type(encoder).__name__}; give victim.encoder, one "
                "of featinv.encoders, or a network of yours through featinv.encoders.wrap (a judge only ever scores)"
            )
        if encoder.gradient_stop:
            raise BadInput(
                f"{type(self).__name__}: expected an encoder that passes gradients to the images, but {encoder.name} "
                f"does not: {encoder.gradient_stop}; wrap the network without that, or look through a surrogate of it"
            )
        self._unregistered = UnregisteredModule(encoder)
        self.whole = fingerprint or encoder.weights_fingerprint

    @property
    def encoder(self) -> Encoder:
        """The frozen network that it looks through."""
        return self._unregistered.network

    @property
    def fingerprints(self) -> frozenset[str]:
        """That of the weights of the encoder, and of the whole network where the encoder is a part of one."""
        return frozenset({self.encoder.weights_fingerprint, self.whole})

    def extra_repr(self) -> str:
        return f"{self.encoder.name}@{self.whole[:8]}"

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "ThroughEncoder":
        super()._apply(fn, recurse)
        # Where `fn` would send a tensor of the encoder's says whether it moves, and whereto.
        self.encoder.to(fn(torch.empty(0, device=self.encoder.mean.device)).device)
        return self
