"""A Stable-Diffusion-style model in diffusers' layout, frozen, as a :class:`sctd.prior.base.Prior`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from sctd.cameras import Viewpoints
from sctd.config.prior import PriorSettings
from sctd.errors import InputError, PromptError, out_of_memory
from sctd.machine import transfer
from sctd.ops.reference import PREDICTIONS
from sctd.prior import attention
from sctd.prior.attention import TextCache
from sctd.prior.base import Timestep, Traits
from sctd.prior.graphs import CudaRecorder, GraphedNetwork, Network
from sctd.prior.load.parts import Parts, first_sentence
from sctd.prior.norms import group_norms_in_float32
from sctd.prior.vae import Autoencoder
from sctd.prior.views import FEATURES, camera_features, class_labels, last_places


class DiffusersPrior:
    """Runs the modules directly: a pipeline object would add checks and conversions to every call."""

    def __init__(
        self,
        parts: Parts,
        name: str,
        device: torch.device,
        dtype: torch.dtype,
        prompt_check: Callable[[str], object] | None = None,
        settings: PriorSettings | None = None,
    ) -> None:
        """Takes loaded parts, freezes them and moves them to the device.

        Args:
            name: of the prior in error messages.
            prompt_check: raises PromptError for a prompt outside the model's world.
            settings: how it runs; None: the defaults. ``parts`` already has the loaded adapters.

        Raises:
            InputError: the parts do not fit together, or sctd does not support their kind (SDXL, inpainting).
        """
        self._name = name
        self._prompt_check = prompt_check
        self._tokenizer = parts.tokenizer
        self._expand = parts.expand
        self._check_fit(parts)
        settings = settings or PriorSettings()
        self._offload_text = settings.offload_text
        waits = torch.device("cpu") if self._offload_text and device.type != "meta" else device
        self._text_encoder = _freeze(parts.text_encoder, waits, dtype)
        size = int(parts.unet.config.sample_size)
        self.traits = Traits(
            device=device,
            dtype=dtype,
            image_size=size * 2 ** (len(parts.vae.config.block_out_channels) - 1),
            latent_shape=(int(parts.unet.config.in_channels), size, size),
            alphas_cumprod=parts.scheduler.alphas_cumprod.detach().to("cpu", torch.float64),
            prediction=parts.scheduler.config.prediction_type,
            reads_cameras=_reads_cameras(parts.unet.config),
        )
        self._vae = Autoencoder(_freeze(parts.vae, device, dtype), settings.vae, self.traits.image_size)
        self._unet = _freeze(parts.unet, device, dtype)
        if settings.channels_last:  # 10-15 % less time for the small UNet on a CPU; no gain in the VAE
            self._unet = self._unet.to(memory_format=torch.channels_last)
            if device.type == "cpu" and dtype.itemsize == 2:
                group_norms_in_float32(self._unet)
        self.attention = attention.choose(settings.attention, device, dtype)
        """The kernels in use, and the reason."""
        self._text_cache = TextCache() if settings.caches_text else None
        attention.install(self._unet, self.attention.kernel, self._text_cache)
        # on the device, so that no call waits for one
        self._ticks = torch.arange(len(self.traits.alphas_cumprod), device=device)
        self._network = self._runner(settings)

    def _runner(self, settings: PriorSettings) -> Network:
        """The UNet as one function: plain, compiled, or as CUDA graphs."""

        def plain(latents: Tensor, t: Tensor, embeddings: Tensor, labels: Tensor | None = None) -> Tensor:
            told = {} if labels is None else {"class_labels": labels}
            out: Tensor = self._unet(latents, t, encoder_hidden_states=embeddings, return_dict=False, **told)[
                0
            ]
            return out

        if settings.cuda_graphs:
            return GraphedNetwork(plain, CudaRecorder(self.traits.device))
        if not settings.compile:
            return plain
        try:
            compiled: Network = torch.compile(plain)
            width = int(self._unet.config.cross_attention_dim)
            text = self._ticks.new_zeros(2, 8, width, dtype=self.traits.dtype)
            with torch.no_grad():  # the first call compiles: here, so that an error becomes one line
                latents = text.new_zeros(2, *self.traits.latent_shape)
                compiled(latents, self._ticks[0], text, *self._labels(text, None))
        except Exception as exc:  # compilers raise all kinds of exceptions
            if out_of_memory(exc):
                raise
            raise InputError(
                f"torch.compile cannot compile the UNet here ({first_sentence(exc)}); leave out --compile"
            ) from exc
        return compiled

    def _check_fit(self, parts: Parts) -> None:
        unet, vae, scheduler = parts.unet.config, parts.vae.config, parts.scheduler.config
        if scheduler.prediction_type not in PREDICTIONS:
            raise InputError(
                f"prior {self._name}: its scheduler predicts {scheduler.prediction_type!r}; "
                f"sctd converts {', '.join(PREDICTIONS)}"
            )
        if unet.in_channels != vae.latent_channels or unet.out_channels != vae.latent_channels:
            raise InputError(
                f"prior {self._name}: the UNet takes {unet.in_channels} and gives "
                f"{unet.out_channels} channels, the VAE has {vae.latent_channels}; "
                "use a plain text-to-image model (no inpainting, no depth)"
            )
        if getattr(unet, "addition_embed_type", None) or not (_reads_cameras(unet) or _takes_no_label(unet)):
            raise InputError(
                f"prior {self._name}: its UNet wants more than a text (SDXL or class-conditional); "
                "use a Stable Diffusion 1.x or 2.x model"
            )
        self._check_tokenizer(parts)
        width = parts.text_encoder.config.hidden_size
        if unet.cross_attention_dim != width:
            raise InputError(
                f"prior {self._name}: the UNet reads texts {unet.cross_attention_dim} wide, "
                f"the text encoder writes {width}; its folders come from different models"
            )

    def _check_tokenizer(self, parts: Parts) -> None:
        """Refuses a tokenizer of another text encoder; the estimate of memory has none."""
        if parts.tokenizer is None:
            return
        words = parts.text_encoder.get_input_embeddings().num_embeddings
        places = parts.text_encoder.config.max_position_embeddings
        if len(parts.tokenizer) > words or parts.tokenizer.model_max_length > places:
            raise InputError(
                f"prior {self._name}: its tokenizer has {len(parts.tokenizer)} tokens and texts of "
                f"{parts.tokenizer.model_max_length}, its text encoder {words} and {places}; "
                "the folders come from different models"
            )

    def check_prompt(self, prompt: str, texts: Sequence[str] = ()) -> None:
        """Raises PromptError: the prompt is outside the model's world, or a text too long for its encoder.

        The view phrase comes last in a text: it is what a text that is cut would lose first.
        """
        if self._prompt_check is not None:
            self._prompt_check(prompt)
        self._check_lengths(texts or (prompt,), "the prompt with its longest view phrase (views.*)")

    def _check_lengths(self, texts: Sequence[str], what: str | None = None) -> None:
        """Raises PromptError where a text is longer than the encoder reads: ``what``, or a quoted one."""
        limit = int(self._tokenizer.model_max_length)
        whole = [self._expand(text) for text in texts]
        lengths = [len(ids) for ids in self._tokenizer(whole, truncation=False, verbose=False).input_ids]
        longest = max(lengths)
        if longest > limit:
            start = texts[lengths.index(longest)][:40]
            what = what or f"the text {start + '...'!r} (negative_prompt, or the prompt)"
            raise PromptError(f"{what} has {longest} tokens, prior {self._name} reads {limit}; shorten it")

    @torch.no_grad()
    def encode_text(self, texts: list[str]) -> Tensor:
        """n texts => [n, L, D], padded to the encoder's length; or the part that a UNet with cameras is told.

        Raises:
            PromptError: one is longer than that; the negative prompt, mostly, whose end would be lost.
        """
        self._check_lengths(texts)
        tokens = self._tokenizer(
            [self._expand(text) for text in texts],
            padding="max_length",
            max_length=self._tokenizer.model_max_length,
            return_tensors="pt",
        )
        encoder = self._text_encoder.to(self.traits.device)  # nothing to do unless it waits elsewhere
        numbers = tokens.input_ids.to(self.traits.device)
        embeddings: Tensor = encoder(numbers)[0]
        if self.traits.reads_cameras:
            embeddings = last_places(embeddings, numbers, self._tokenizer.eos_token_id)
        if self._offload_text:
            encoder.to("cpu")
        return embeddings.to(self.traits.dtype)

    def encode_cameras(self, views: Viewpoints) -> Tensor | None:
        """B views => features [B, FEATURES] on the device, or None; see :class:`.Prior`."""
        if not self.traits.reads_cameras:
            return None
        return transfer.to_device(camera_features(views), self.traits.device).to(self.traits.dtype)

    def _labels(self, embeddings: Tensor, cameras: Tensor | None) -> tuple[Tensor, ...]:
        """What a UNet that reads cameras takes beside the text; nothing for others."""
        if not self.traits.reads_cameras:
            return ()
        if cameras is None:
            cameras = embeddings.new_zeros(embeddings.shape[0], FEATURES)
        return (class_labels(cameras, embeddings),)

    @torch.no_grad()
    def predict(
        self, latents: Tensor, t: Timestep, embeddings: Tensor, cameras: Tensor | None = None
    ) -> Tensor:
        """z_t [B, C, h, w], embeddings [B, L, D] => the network's output [B, C, h, w], in its precision."""
        tick = self._ticks[t] if isinstance(t, int) else t.to(self.traits.device)
        labels = self._labels(embeddings, cameras)
        return self._network(latents.to(self.traits.dtype), tick, embeddings, *labels).contiguous()

    def posterior_noise(self, images: Tensor, generator: torch.Generator) -> Tensor | None:
        """[B, 3, H, W] => normal [B, C, h, w], None for a tiny autoencoder; see :class:`.Prior`."""
        if not self._vae.has_spread:
            return None
        channels, size, _ = self.traits.latent_shape
        factor = self.traits.image_size // size
        count, _, height, width = images.shape
        return torch.randn((count, channels, height // factor, width // factor), generator=generator)

    def encode_images(self, images: Tensor, noise: Tensor | None = None) -> Tensor:
        """[B, 3, H, W] in 0..1 => latents [B, C, h, w], differentiable; see :class:`.Prior`."""
        # a half-precision network still gets float32 latents: the ODE steps subtract nearly equal numbers
        wide = torch.promote_types(self.traits.dtype, torch.float32)
        return self._vae.encode(images.to(self.traits.dtype) * 2 - 1, noise, wide)

    def decode(self, latents: Tensor) -> Tensor:
        """[B, C, h, w] => [B, 3, H, W], differentiable and not clamped; see :class:`.Prior`."""
        return self._vae.decode(latents, self.traits.dtype).to(latents) / 2 + 0.5


def _takes_no_label(unet: Any) -> bool:
    return getattr(unet, "class_embed_type", None) is None


def _reads_cameras(unet: Any) -> bool:
    """Whether a UNet's config says that it takes the features and the text of :mod:`sctd.prior.views`."""
    if getattr(unet, "class_embed_type", None) != "projection":
        return False
    return bool(unet.projection_class_embeddings_input_dim == FEATURES + unet.cross_attention_dim)


def _freeze(module: Any, device: torch.device, dtype: torch.dtype) -> Any:
    if any(
        p.dtype != dtype for p in module.parameters()
    ):  # diffusers warns about every cast, also an empty one
        module = module.to(dtype)
    return module.to(device).eval().requires_grad_(False)
