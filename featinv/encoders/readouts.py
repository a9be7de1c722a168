"""Which numbers of a network's output are the features: its pooled vector, a token, their mean, or all of them."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import isqrt
from typing import Any, Literal, final, get_args

from torch import Tensor

from featinv.errors import BadInput

Kind = Literal["pooled", "cls", "mean", "tokens", "grid"]
KINDS: tuple[Kind, ...] = get_args(Kind)

_POOLED = ("image_embeds", "pooler_output")
_TOKENS = ("last_hidden_state",)


@final
@dataclass(frozen=True)
class Readout:
    """Network output -> one tensor of features.

    `kind` is "pooled" (the vector that the network itself makes, (B, D)), "cls" (the first token, (B, C)), "mean" (over
    the patch tokens, or over the positions of a map, (B, C)), "tokens" (all, (B, T, C), flattened by the encoder) or
    "grid" (the patch tokens as a map (B, C, h, w)). `prefix` is the number of tokens before those of the patches; when
    None, what exceeds the largest square. Takes tensors, tuples (their first tensor) and transformers' ModelOutput.
    Raises BadInput for an output that has no such numbers, saying what it has.
    """

    kind: Kind
    prefix: int | None = None

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise BadInput(f"readout: expected one of {', '.join(KINDS)}, got {self.kind!r}")

    def __call__(self, output: Any, *, name: str) -> Any:
        """Return the tensor that `kind` names; `name` is the network's, for messages."""
        if self.kind == "pooled":
            return _pooled(output, name)
        tensor = _first_tensor(output, _TOKENS, name)
        if tensor.ndim == 3:
            return self._of_tokens(tensor, name)
        if tensor.ndim == 4:
            return self._of_map(tensor, name)
        raise BadInput(
            f"{name}: expected tokens (B, T, C) or maps (B, C, h, w) to read out {self.kind!r} from, got "
            f'{tuple(tensor.shape)}; use readout="pooled", or cut it at an earlier layer'
        )

    def _of_tokens(self, tokens: Tensor, name: str) -> Tensor:
        if self.kind == "tokens":
            return tokens
        count = tokens.shape[1]
        prefix = count - isqrt(count) ** 2 if self.prefix is None else self.prefix
        if self.kind == "cls" and prefix == 0:
            raise BadInput(f'{name}: has {count} patch tokens and no class token; use readout="mean" or "grid"')
        if self.kind == "cls":
            return tokens[:, 0]
        patches = tokens[:, prefix:]
        if self.kind == "mean":
            return patches.mean(1)
        side = isqrt(patches.shape[1])
        if side == 0 or side * side != patches.shape[1]:
            raise BadInput(
                f"{name}: expected a square number of patch tokens for readout='grid', got {count} tokens, {prefix} of "
                'them before the patches; use readout="tokens"'
            )
        return patches.transpose(1, 2).unflatten(2, (side, side))

    def _of_map(self, maps: Tensor, name: str) -> Tensor:
        if self.kind == "cls":
            raise BadInput(f'{name}: has maps {tuple(maps.shape)} and no class token; use readout="mean" or "grid"')
        # Square maps of square images tell channels last.
        if maps.shape[1] == maps.shape[2] != maps.shape[3]:
            maps = maps.permute(0, 3, 1, 2)
        if self.kind == "mean":
            return maps.mean((2, 3))
        return maps.flatten(2).transpose(1, 2) if self.kind == "tokens" else maps


def _pooled(output: Any, name: str) -> Any:
    tensor = _first_tensor(output, _POOLED, name)
    if tensor.ndim == 2 or tensor.shape[2:] == (1, 1):
        return tensor
    others = '"cls", "mean", "tokens" or "grid"' if tensor.ndim == 3 else '"mean" or "grid"'
    raise BadInput(f"{name}: has no pooled vector, its output is {tuple(tensor.shape)}; use readout={others}")


def _first_tensor(output: Any, keys: tuple[str, ...], name: str) -> Tensor:
    if isinstance(output, Mapping):
        held = {key: value for key, value in output.items() if isinstance(value, Tensor)}
        output = next((held[key] for key in keys if key in held), None)
        if output is None:
            raise BadInput(
                f"{name}: expected {' or '.join(keys)} in its output, got {', '.join(held) or 'nothing'}; use another "
                f"readout ({', '.join(KINDS)}), or cut it at a layer"
            )
    if isinstance(output, tuple | list):
        output = next((item for item in output if isinstance(item, Tensor)), None)
    if not isinstance(output, Tensor):
        raise BadInput(f"{name}: expected a tensor to read features from, got {type(output).__name__}")
    return output
