"""Pipelines of other libraries as a `Prior`: unCLIP, IP-Adapter, an RAE decoder, and diffusion on representations.

Nothing is imported or downloaded: the caller loads the pipeline, under its own licence, and hands it over.
"""

from collections.abc import Callable
from typing import Any, final

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from featinv.errors import BadInput
from featinv.processes import seeded
from featinv.types import Images

_WORD = 2**62
Condition = Float[Tensor, " C"]
Conditions = Float[Tensor, "B C"]


class _ClipPrior:
    """A diffusers pipeline with `feature_extractor` and `image_encoder`: the condition is an image's CLIP embedding."""

    def __init__(self, pipeline: Any, *, licence: str, guidance: int | float, steps: int | None) -> None:
        _check_parts(type(self).__name__, pipeline, ("feature_extractor", "image_encoder", "__call__"))
        if getattr(pipeline, "safety_checker", None) is not None:
            raise BadInput(
                f"{type(self).__name__}: expected a pipeline without a safety checker, which replaces samples with "
                "black images; load it with safety_checker=None"
            )
        if not guidance >= 1:
            raise BadInput(f"{type(self).__name__}: expected a guidance of at least 1 (1: none), got {guidance}")
        self.pipeline, self.guidance, self.steps = pipeline, float(guidance), steps
        self.licence = _check_licence(type(self).__name__, licence)

    @torch.no_grad()
    def condition(self, images: Images) -> Conditions:
        """Return the CLIP embeddings (B, C) of images, as the pipeline's own processor and encoder make them."""
        pixels = [(255 * image).round().byte().permute(1, 2, 0).cpu().numpy() for image in images]
        prepared = self.pipeline.feature_extractor(images=pixels, return_tensors="pt").pixel_values
        weights = next(self.pipeline.image_encoder.parameters())
        embedded: Tensor = self.pipeline.image_encoder(prepared.to(weights.device, weights.dtype)).image_embeds
        return embedded.float()

    def _placed(self, condition: Condition) -> Condition:
        weights = next(self.pipeline.image_encoder.parameters())
        return condition.to(weights.device, weights.dtype)


@final
class UnclipPrior(_ClipPrior):
    """`UnCLIPImageVariationPipeline` (Karlo) as a `Prior`: it draws from `image_embeddings`.

    `guidance` is its `decoder_guidance_scale`, `steps` its `decoder_num_inference_steps`. Raises BadInput for a
    pipeline without an image encoder, and for an empty licence.
    """

    def __init__(self, pipeline: Any, *, licence: str, guidance: int | float = 1, steps: int | None = None) -> None:
        super().__init__(pipeline, licence=licence, guidance=guidance, steps=steps)

    def sample(self, condition: Condition, n: int, generator: torch.Generator) -> Images:
        """Draw n images (n, 3, H, W) in [0, 1]."""
        drawn = self.pipeline(
            image_embeddings=self._placed(condition)[None],
            num_images_per_prompt=n,
            decoder_guidance_scale=self.guidance,
            decoder_num_inference_steps=25 if self.steps is None else self.steps,
            generator=generator,
            output_type="np",
        )
        return _images(drawn.images)


@final
class StableUnclipPrior(_ClipPrior):
    """`StableUnCLIPImg2ImgPipeline` (Stable Diffusion 2.1 unCLIP) as a `Prior`: it draws from `image_embeds`.

    `prompt` is the text beside the embedding, none by default. Raises BadInput as `UnclipPrior` does.
    """

    def __init__(
        self, pipeline: Any, *, licence: str, guidance: int | float = 1, steps: int | None = None, prompt: str = ""
    ) -> None:
        super().__init__(pipeline, licence=licence, guidance=guidance, steps=steps)
        self.prompt = prompt

    def sample(self, condition: Condition, n: int, generator: torch.Generator) -> Images:
        """Draw n images (n, 3, H, W) in [0, 1]."""
        drawn = self.pipeline(
            prompt=self.prompt,
            image_embeds=self._placed(condition)[None],
            num_images_per_prompt=n,
            guidance_scale=self.guidance,
            num_inference_steps=20 if self.steps is None else self.steps,
            noise_level=0,
            generator=generator,
            output_type="np",
        )
        return _images(drawn.images)


@final
class IpAdapterPrior(_ClipPrior):
    """A Stable Diffusion pipeline with one IP-Adapter loaded, as a `Prior`.

    It draws from `ip_adapter_image_embeds`: one tensor (1, 1, C) for each adapter, and with guidance (2, 1, C) with the
    negative embedding, zeros, first. The adapter must take the CLIP embedding; those called "plus" take its hidden
    states, and do not fit here. Raises BadInput as `UnclipPrior` does.
    """

    def __init__(
        self, pipeline: Any, *, licence: str, guidance: int | float = 1, steps: int | None = None, prompt: str = ""
    ) -> None:
        super().__init__(pipeline, licence=licence, guidance=guidance, steps=steps)
        self.prompt = prompt

    def sample(self, condition: Condition, n: int, generator: torch.Generator) -> Images:
        """Draw n images (n, 3, H, W) in [0, 1]."""
        embeds = self._placed(condition)[None, None]
        if self.guidance > 1:
            embeds = torch.cat([torch.zeros_like(embeds), embeds])
        drawn = self.pipeline(
            prompt=self.prompt,
            ip_adapter_image_embeds=[embeds],
            num_images_per_prompt=n,
            guidance_scale=self.guidance,
            num_inference_steps=50 if self.steps is None else self.steps,
            generator=generator,
            output_type="np",
        )
        return _images(drawn.images)


@final
class RaePrior:
    """The decoder of a representation autoencoder (arXiv:2510.11690; diffusers' `AutoencoderRAE`) as a `Prior`.

    The condition is the latent, averaged over `cells` x `cells` cells, because a whole one has 200,000 numbers.
    `sample` enlarges it, adds noise of `deviation` in the latent's units, and decodes. Such decoders are trained on
    noised latents. With `deviation=0` all samples are alike, and a calibration refuses them. The noise is no posterior:
    test it. Raises BadInput for an autoencoder without encode and decode, a negative deviation and an empty licence.
    """

    guidance = 1.0

    def __init__(self, autoencoder: Any, *, licence: str, deviation: int | float, cells: int = 4) -> None:
        _check_parts("RaePrior", autoencoder, ("encode", "decode"))
        if not deviation >= 0 or cells < 1:
            raise BadInput(f"RaePrior: expected a deviation >= 0 and at least 1 cell, got {deviation} and {cells}")
        self.autoencoder, self.deviation, self.cells = autoencoder, float(deviation), cells
        self.licence = _check_licence("RaePrior", licence)
        self._grid: tuple[int, ...] = ()

    @torch.no_grad()
    def condition(self, images: Images) -> Conditions:
        """Return the latents' means of cells x cells cells, flat."""
        latent: Tensor = self.autoencoder.encode(images).latent
        self._grid = tuple(latent.shape[1:])
        return F.adaptive_avg_pool2d(latent.float(), self.cells).flatten(1)

    @torch.no_grad()
    def sample(self, condition: Condition, n: int, generator: torch.Generator) -> Images:
        """Decode n noised latents to images (n, 3, H, W) in [0, 1]."""
        coarse = condition.reshape(1, self._grid[0], self.cells, self.cells)
        latent = F.interpolate(coarse, size=self._grid[1:], mode="bilinear", align_corners=False)
        noised = latent.cpu() + self.deviation * torch.randn(n, *self._grid, generator=generator)
        decoded: Tensor = self.autoencoder.decode(noised.to(condition.device)).sample
        return decoded.float().clamp(0, 1)


@final
class DiffusionPrior:
    """A diffusion model on representations with guided-diffusion's sampling loop, as RCDM's (arXiv:2112.09164).

    `loop(model, (n, 3, size, size), clip_denoised=True, model_kwargs={"feat": (n, C)})` returns images in [-1, 1]:
    `diffusion.p_sample_loop` or `ddim_sample_loop`. `encoder` maps images in [0, 1] to (B, C), as the model was trained
    on. The loop draws from torch's global random state, which is set from the generator and restored. Raises BadInput
    for an empty licence.
    """

    guidance = 1.0

    def __init__(
        self, loop: Callable[..., Any], model: Any, encoder: Callable[[Tensor], Tensor], *, size: int, licence: str
    ) -> None:
        self.loop, self.model, self.encoder, self.size = loop, model, encoder, size
        self.licence = _check_licence("DiffusionPrior", licence)

    @torch.no_grad()
    def condition(self, images: Images) -> Conditions:
        """Return the encoder's representations (B, C)."""
        return self.encoder(images).flatten(1).float()

    @torch.no_grad()
    def sample(self, condition: Condition, n: int, generator: torch.Generator) -> Images:
        """Draw n images (n, 3, size, size) in [0, 1]."""
        with seeded(int(torch.randint(_WORD, (), generator=generator))):
            features = condition.expand(n, -1).contiguous()
            shape = (n, 3, self.size, self.size)
            drawn: Tensor = self.loop(self.model, shape, clip_denoised=True, model_kwargs={"feat": features})
        return drawn.float().add(1).div(2).clamp(0, 1)


def _images(drawn: Any) -> Images:
    """Return a pipeline's images (n, H, W, 3) in [0, 1] as a tensor (n, 3, H, W)."""
    return torch.from_numpy(np.ascontiguousarray(np.asarray(drawn, dtype=np.float32).transpose(0, 3, 1, 2))).clamp(0, 1)


def _check_parts(name: str, pipeline: Any, parts: tuple[str, ...]) -> None:
    missing = [part for part in parts if getattr(pipeline, part, None) is None]
    if missing:
        raise BadInput(
            f"{name}: expected a pipeline with {missing[0]!r}, got {type(pipeline).__name__} without; load it"
        )


def _check_licence(name: str, licence: str) -> str:
    if not licence.strip():
        raise BadInput(f"{name}: expected the licence of the weights, got none; name it, e.g. licence='Apache-2.0'")
    return licence
