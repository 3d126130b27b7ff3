"""Estimates a run's memory on a graphics card, before anything is loaded.

It builds the networks without weights (torch's meta device), runs them once as a run would, forward and
backward, and counts every tensor while it lives.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from sctd.config import Config
from sctd.config.prior import ANALYTIC, VAE_MODES, PriorSettings
from sctd.errors import InputError
from sctd.prior import vae
from sctd.prior.diffusers_prior import DiffusersPrior
from sctd.prior.load import loader, sources
from sctd.prior.load.architectures import CLIP_LENGTH, write_configs
from sctd.prior.load.parts import Parts, one_part, quiet, read_scheduler
from sctd.prior.load.single_file import config_folder, skeleton
from sctd.prior.scene_memory import scene_bytes

META = torch.device("meta")

RESERVE = 640 << 20
"""Bytes: CUDA's context with its kernels, and the workspaces of cuDNN and cuBLAS. An assumption: 0.4 to 0.6
GiB are usual; not measured with this program."""
SPILL = 0.1
"""Share of the tensors that the allocator cannot use because its blocks do not fit them. An assumption."""


@dataclass(frozen=True)
class Estimate:
    """Bytes by part; all parts exist at the same time."""

    parts: dict[str, int]
    assumed: bool
    """Whether the shapes are those of Stable Diffusion 2.1 base, because the prior is not here yet."""

    @property
    def total(self) -> int:
        """Bytes."""
        return sum(self.parts.values())

    def lines(self) -> list[str]:
        """A table for people."""
        whose = ", with the shapes of Stable Diffusion 2.1 base" if self.assumed else ""
        rows = [f"{size / 2**30:6.2f} GiB  {name}" for name, size in self.parts.items()]
        total = f"{self.total / 2**30:6.2f} GiB  together"
        return [f"memory of the graphics card, estimated{whose}:", *rows, total]


class Ledger(TorchDispatchMode):
    """Counts the bytes of the tensors that are made inside the block, as long as they live."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.live = 0
        self.peak = 0
        self._seen: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run the operation and count the new tensors of its result."""
        given = {id(x.untyped_storage()) for x in tree_leaves((args, kwargs or {})) if isinstance(x, Tensor)}
        out = func(*args, **(kwargs or {}))
        for x in tree_leaves(out):
            if isinstance(x, Tensor) and id(x.untyped_storage()) not in given:
                self._enter(x.untyped_storage())
        return out

    def _enter(self, storage: Any) -> None:
        if id(storage) in self._seen:
            return
        size = storage.nbytes()
        self._seen.add(id(storage))
        self.live += size
        self.peak = max(self.peak, self.live)
        weakref.finalize(storage, self._leave, id(storage), size)

    def _leave(self, key: int, size: int) -> None:
        self._seen.discard(key)
        self.live -= size


def estimate_memory(config: Config, dtype: torch.dtype = torch.float16) -> Estimate:
    """A run's memory by part, in bytes; of a run of stages that of the one that needs most.

    Networks are counted by :class:`Ledger`, what is optimised by :func:`.scene_bytes`.

    Args:
        dtype: of the networks.

    Raises:
        InputError: the prior's configs are missing or damaged.
    """
    return max((_of_stage(part, dtype) for part in config.parts()), key=lambda estimate: estimate.total)


def _of_stage(config: Config, dtype: torch.dtype) -> Estimate:
    parts, assumed = _shapes(config)
    with quiet():
        prior = DiffusersPrior(parts, str(config.prior), META, dtype, settings=_as_counted(config.prior))
    networks = {
        "UNet": parts.unet,
        "VAE": parts.vae,
        **({} if config.prior.offload_text else {"text encoder": parts.text_encoder}),
    }
    sizes = {f"weights of the {name}": _weights(network) for name, network in networks.items()}
    with fused_attention():
        kept, passes = _vae(prior, config.cameras.batch)
        batch = widest_batch(config)
        unet = _unet(prior, batch, int(parts.unet.config.cross_attention_dim))
    sizes["kept of the VAE's pass for the gradient"] = kept
    sizes[f"the larger of the UNet at batch {batch} and the VAE's passes"] = max(unet, passes)
    sizes |= scene_bytes(config)
    sizes["lost between blocks (assumed)"] = int(SPILL * sum(sizes.values()))
    sizes["CUDA and its libraries (assumed)"] = RESERVE
    return Estimate(sizes, assumed)


def check(config: Config, device: torch.device) -> None:
    """Refuses a run that would not fit, in one line; does nothing on a CPU without ``prior.card_gib``.

    Raises:
        InputError: it would not fit.
    """
    if config.prior.name == ANALYTIC:
        return  # a few numbers
    limit = config.prior.card_gib
    if device.type == "cuda":
        card = torch.cuda.get_device_properties(device).total_memory / 2**30
        limit = card if limit is None else min(limit, card)
    if limit is None:
        return
    estimate = estimate_memory(config, card_dtype(config))
    if estimate.total > limit * 2**30:
        name, size = max(estimate.parts.items(), key=lambda part: part[1])
        raise InputError(
            f"prior {config.prior}: the run needs about {estimate.total / 2**30:.1f} GiB on the card, "
            f"{limit:.1f} GiB are allowed or there (most of it: {name}, {size / 2**30:.1f} GiB); "
            "take the --card of your card, lower cameras.batch, or see `sctd generate --dry-run`"
        )


def card_dtype(config: Config) -> torch.dtype:
    """The prior's element type on a graphics card."""
    dtype: torch.dtype = torch.float16 if config.dtype == "auto" else getattr(torch, config.dtype)
    return dtype


def widest_batch(config: Config) -> int:
    """Images in the UNet at once: each camera's under every text of the method's widest call."""
    return config.cameras.batch * config.rule.texts_at_once(config.negative_prompt)


def _shapes(config: Config) -> tuple[Parts, bool]:
    """The prior's networks without weights, and whether they are those of another prior."""
    source = sources.find(config.prior)
    if source.kind == "file":
        with config_folder(source, config.prior) as folder:
            return _built(folder, config.prior), False
    there = loader.folder_with_configs(source)
    if there is not None:
        return _built(there, config.prior), False
    with TemporaryDirectory(prefix="sctd-") as name:
        return _built(write_configs(Path(name), "sd2", config.prior.prediction), config.prior), True


def _built(folder: Path, settings: PriorSettings) -> Parts:
    networks: dict[str, Any] = skeleton(folder, settings.name)
    scheduler = one_part(settings.name, "scheduler", lambda: read_scheduler(folder))
    return vae.replace(Parts(**networks, tokenizer=None, scheduler=scheduler), settings, torch.float32)


def _as_counted(settings: PriorSettings) -> PriorSettings:
    """The settings that affect memory, without those that call a GPU."""
    mode = settings.vae if settings.vae in VAE_MODES else "full"
    return settings.model_copy(
        update={"attention": "sdpa", "compile": False, "cuda_graphs": False, "text_cache": False, "vae": mode}
    )


def _weights(network: nn.Module) -> int:
    return sum((x.numel() * x.element_size() for x in network.parameters()), 0)


def _vae(prior: DiffusersPrior, batch: int) -> tuple[int, int]:
    """Bytes kept between forward and backward pass, and the additional peak of either pass."""
    size = prior.traits.image_size
    images = torch.empty(batch, 3, size, size, device=META, requires_grad=True)
    ledger = Ledger()
    with ledger:
        latents = prior.encode_images(images, prior.posterior_noise(images, torch.Generator()))
        kept = ledger.live
        latents.sum().backward()
    return kept, ledger.peak - kept


def _unet(prior: DiffusersPrior, batch: int, width: int) -> int:
    """Peak bytes of a call."""
    text = torch.empty(batch, CLIP_LENGTH, width, device=META, dtype=prior.traits.dtype)
    ledger = Ledger()
    with ledger:
        prior.predict(torch.empty(batch, *prior.traits.latent_shape, device=META), 500, text)
    return ledger.peak


@contextmanager
def fused_attention() -> Iterator[None]:
    """Count attention as one fused operation: it stores inputs, output and one number a row, not the full
    attention matrix. On the meta device torch would use the plain formula, which no GPU runs."""

    def fused(q: Tensor, k: Tensor, v: Tensor, *_: Any, **__: Any) -> Tensor:
        out: Tensor = torch.ops.aten._scaled_dot_product_flash_attention(q, k, v)[0]
        return out

    plain = nn.functional.scaled_dot_product_attention
    nn.functional.scaled_dot_product_attention = fused  # type: ignore[assignment]
    try:
        yield
    finally:
        nn.functional.scaled_dot_product_attention = plain
