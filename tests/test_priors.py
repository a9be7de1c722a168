"""Shims around other libraries' pipelines, with stand-ins that have the same signatures and refuse other arguments."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import featinv as fi
from featinv import testing
from featinv.attacks.priors import DiffusionPrior, IpAdapterPrior, RaePrior, StableUnclipPrior, UnclipPrior
from featinv.errors import BadInput

WIDTH, SIDE = 6, 12


def processor(images: list[np.ndarray], return_tensors: str) -> SimpleNamespace:
    """A CLIPImageProcessor: 8-bit images, channels last, to normalised tensors."""
    assert return_tensors == "pt"
    assert all(image.dtype == np.uint8 and image.shape[2] == 3 for image in images)
    stacked = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float() / 255
    return SimpleNamespace(pixel_values=(stacked - 0.5) / 0.25)


class ImageEncoder(nn.Module):
    """A CLIPVisionModelWithProjection: mean colours, twice."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(0.25))

    def forward(self, pixel_values: Tensor) -> SimpleNamespace:
        means = pixel_values.mean((2, 3)) * self.scale + 0.5
        return SimpleNamespace(image_embeds=torch.cat([means, means], 1))


class Pipeline:
    def __init__(self) -> None:
        self.feature_extractor, self.image_encoder = processor, ImageEncoder()
        self.calls: list[dict[str, Any]] = []

    def drawn(self, embedding: Tensor, n: int, generator: torch.Generator, output_type: str) -> SimpleNamespace:
        assert output_type == "np"
        noise = torch.randn(n, SIDE, SIDE, 3, generator=generator)
        return SimpleNamespace(images=(embedding[:3] + 0.05 * noise).clamp(0, 1).detach().numpy())


class Unclip(Pipeline):
    def __call__(
        self,
        image: Any = None,
        num_images_per_prompt: int = 1,
        decoder_num_inference_steps: int = 25,
        super_res_num_inference_steps: int = 7,
        generator: Any = None,
        decoder_latents: Any = None,
        super_res_latents: Any = None,
        image_embeddings: Any = None,
        decoder_guidance_scale: float = 8.0,
        output_type: str = "pil",
        return_dict: bool = True,
    ) -> SimpleNamespace:
        self.calls.append({"guidance": decoder_guidance_scale, "steps": decoder_num_inference_steps})
        assert image_embeddings.shape == (1, WIDTH)
        return self.drawn(image_embeddings[0], num_images_per_prompt, generator, output_type)


class StableUnclip(Pipeline):
    def __call__(
        self,
        image: Any = None,
        prompt: Any = None,
        height: Any = None,
        width: Any = None,
        num_inference_steps: int = 20,
        guidance_scale: float = 10,
        negative_prompt: Any = None,
        num_images_per_prompt: int = 1,
        eta: float = 0.0,
        generator: Any = None,
        latents: Any = None,
        output_type: str = "pil",
        noise_level: int = 0,
        image_embeds: Any = None,
    ) -> SimpleNamespace:
        self.calls.append({"guidance": guidance_scale, "steps": num_inference_steps})
        assert (prompt, noise_level) == ("", 0)
        assert image_embeds.shape == (1, WIDTH)
        return self.drawn(image_embeds[0], num_images_per_prompt, generator, output_type)


class IpAdapter(Pipeline):
    def __call__(
        self,
        prompt: Any = None,
        height: Any = None,
        width: Any = None,
        num_inference_steps: int = 50,
        guidance_scale: float = 7.5,
        num_images_per_prompt: int = 1,
        generator: Any = None,
        ip_adapter_image: Any = None,
        ip_adapter_image_embeds: Any = None,
        output_type: str = "pil",
    ) -> SimpleNamespace:
        self.calls.append({"guidance": guidance_scale, "steps": num_inference_steps})
        [embeds] = ip_adapter_image_embeds
        # Negatives first, where there is guidance: the pipeline halves the first axis.
        assert embeds.shape == (2 if guidance_scale > 1 else 1, 1, WIDTH)
        assert guidance_scale <= 1 or not embeds[0].any()
        return self.drawn(embeds[-1, 0], num_images_per_prompt, generator, output_type)


class Autoencoder(nn.Module):
    """An AutoencoderRAE: latents of two numbers a cell of 2 pixels, which say the brightness."""

    def encode(self, x: Tensor, return_dict: bool = True) -> SimpleNamespace:
        cells = nn.functional.avg_pool2d(x.mean(1, keepdim=True), 2)
        return SimpleNamespace(latent=torch.cat([cells, -cells], 1))

    def decode(self, z: Tensor, return_dict: bool = True) -> SimpleNamespace:
        bright = (z[:, :1] - z[:, 1:]) / 2
        return SimpleNamespace(sample=nn.functional.interpolate(bright, scale_factor=2).expand(-1, 3, -1, -1))


def loop(model: Any, shape: tuple[int, ...], *, clip_denoised: bool, model_kwargs: dict[str, Tensor]) -> Tensor:
    """A GaussianDiffusion.p_sample_loop: images in [-1, 1], from torch's global random state."""
    assert clip_denoised
    features = model_kwargs["feat"]
    assert features.shape == (shape[0], 3)
    return model * (2 * features[:, :, None, None] - 1 + 0.1 * torch.randn(shape))


def colours(images: Tensor) -> Tensor:
    return images.mean((2, 3))


PRIORS: dict[str, Any] = {
    "unclip": lambda: UnclipPrior(Unclip(), licence="OpenRAIL-M"),
    "stable unclip": lambda: StableUnclipPrior(StableUnclip(), licence="OpenRAIL++-M"),
    "ip-adapter": lambda: IpAdapterPrior(IpAdapter(), licence="Apache-2.0"),
    "rae": lambda: RaePrior(Autoencoder(), licence="MIT", deviation=0.1, cells=2),
    "rcdm": lambda: DiffusionPrior(loop, 1.0, colours, size=SIDE, licence="CC-BY-NC-4.0"),
}


@pytest.mark.parametrize("name", PRIORS)
def test_every_shim_is_a_prior_of_a_sampler(name: str) -> None:
    testing.check_sampler(fi.attacks.PriorAttack(PRIORS[name]()))


@pytest.mark.parametrize("name", PRIORS)
def test_the_condition_of_an_image_draws_images_like_it(name: str) -> None:
    prior = PRIORS[name]()
    images = torch.tensor([[0.2, 0.4, 0.7], [0.5, 0.5, 0.5]])[:, :, None, None].expand(-1, -1, SIDE, SIDE)
    conditions = prior.condition(images)
    drawn = prior.sample(conditions[0], 64, torch.Generator().manual_seed(0))
    assert drawn.shape == (64, 3, SIDE, SIDE)
    wanted = images[0].mean((1, 2)) if name != "rae" else images[0].mean().expand(3)
    assert drawn.mean((0, 2, 3)) == pytest.approx(wanted.numpy(), abs=0.01)


@pytest.mark.parametrize(
    ("shim", "stand_in"), [(UnclipPrior, Unclip), (StableUnclipPrior, StableUnclip), (IpAdapterPrior, IpAdapter)]
)
def test_guidance_and_steps_reach_the_pipeline(shim: Any, stand_in: Any) -> None:
    pipeline = stand_in()
    for options, guidance in (({"steps": 7}, 1.0), ({"steps": 7, "guidance": 3}, 3.0)):
        prior = shim(pipeline, licence="MIT", **options)
        prior.sample(torch.full((WIDTH,), 0.5), 2, torch.Generator())
        assert prior.guidance == guidance
        assert pipeline.calls[-1] == {"guidance": guidance, "steps": 7}
    prior.sample(torch.full((WIDTH,), 0.5), 2, torch.Generator())


def test_the_loop_leaves_torchs_random_state_alone() -> None:
    prior = PRIORS["rcdm"]()
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    prior.sample(torch.full((3,), 0.5), 2, torch.Generator().manual_seed(1))
    assert torch.equal(torch.rand(1), expected)


def test_without_noise_a_decoder_is_refused_by_a_calibration() -> None:
    pairs = testing.synthetic_pairs(60, size=8)
    attack = fi.attacks.PriorAttack(RaePrior(Autoencoder(), licence="MIT", deviation=0, cells=2)).fit(pairs)
    release = fi.Release(pairs.features(np.arange(60)), {}, pairs.images)
    with pytest.raises(BadInput, match="the sampler is deterministic"):
        fi.evaluation.calibrate(attack, release, pairs.images, k=16)


def test_bad_input_gets_one_line() -> None:
    checked = Unclip()
    checked.safety_checker = object()  # type: ignore[attr-defined]
    refusals: dict[str, Any] = {
        "UnclipPrior: expected a pipeline with 'feature_extractor'": lambda: UnclipPrior(object(), licence="MIT"),
        "IpAdapterPrior: expected the licence": lambda: IpAdapterPrior(IpAdapter(), licence=" "),
        "expected a guidance of at least 1": lambda: UnclipPrior(Unclip(), licence="MIT", guidance=0.5),
        "replaces samples with black images": lambda: UnclipPrior(checked, licence="MIT"),
        "RaePrior: expected a pipeline with 'encode'": lambda: RaePrior(object(), licence="MIT", deviation=1),
        "RaePrior: expected a deviation >= 0": lambda: RaePrior(Autoencoder(), licence="MIT", deviation=-1),
    }
    for message, call in refusals.items():
        with pytest.raises(BadInput, match=message) as refusal:
            call()
        assert "\n" not in str(refusal.value)
