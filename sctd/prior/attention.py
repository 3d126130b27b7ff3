"""Chooses attention kernels by calling them, and caches keys and values of texts that do not change."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from sctd.errors import InputError
from sctd.prior.load.parts import first_sentence

Kernel = Callable[[Tensor, Tensor, Tensor], Tensor]
"""Queries, keys, values [B, heads, L, d] => [B, heads, Lq, d]."""


@dataclass(frozen=True)
class Choice:
    """Attention kernels and why these."""

    name: str
    """sdpa or xformers."""
    reason: str
    kernel: Kernel


def choose(wish: str, device: torch.device, dtype: torch.dtype) -> Choice:
    """The kernels to use.

    Args:
        wish: auto, sdpa or xformers; auto takes xformers where a trial call works.

    Raises:
        InputError: xformers is requested and does not work here; the message gives the reason.
    """
    if wish == "sdpa":
        return Choice("sdpa", "asked for", sdpa_kernel)
    trouble = xformers_trouble(device, dtype)
    if trouble is None:
        return Choice("xformers", "a call of it works here", xformers_kernel)
    if wish == "xformers":
        raise InputError(f"prior.attention=xformers: {trouble}; use sdpa, which is part of torch")
    return Choice("sdpa", trouble, sdpa_kernel)


def xformers_trouble(device: torch.device, dtype: torch.dtype) -> str | None:
    """Why xformers' attention cannot be used on a device; None: a real call agrees with torch.

    A successful import is not enough: its kernels are compiled for one version of torch, and release 0.0.35
    imports under torch 2.13, where its calls fail.
    """
    log = logging.getLogger("xformers")
    level = log.level
    log.setLevel(logging.ERROR)  # it warns at length; the message below has the relevant part
    try:
        import xformers.ops  # noqa: F401
    except Exception as exc:  # a broken build may raise any exception
        missing = isinstance(exc, ModuleNotFoundError) and (exc.name or "").startswith("xformers")
        return (
            "xformers is not installed" if missing else f"xformers cannot be imported ({first_sentence(exc)})"
        )
    finally:
        log.setLevel(level)
    q, k, v = torch.randn(3, 1, 2, 64, 64, generator=torch.Generator().manual_seed(0)).to(device, dtype)
    try:
        got, want = xformers_kernel(q, k, v), sdpa_kernel(q, k, v)
    except Exception as exc:
        return f"xformers is installed, but a call of it fails ({first_sentence(exc)})"
    off = float((got - want).abs().max())
    if not off <= 0.05:  # bfloat16 keeps 8 bits: errors of values near 1 stay below
        return f"xformers is installed, but its result is off by {off:.1e}"
    return None


def sdpa_kernel(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """torch's own."""
    return F.scaled_dot_product_attention(q, k, v)


def xformers_kernel(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """The same by xformers, which takes [B, L, heads, d]."""
    import xformers.ops

    out: Tensor = xformers.ops.memory_efficient_attention(*(x.transpose(1, 2) for x in (q, k, v)))
    return out.transpose(1, 2)


def install(unet: Any, kernel: Kernel, cache: TextCache | None) -> None:
    """Gives every attention of a UNet the kernel, and those that read texts the cache.

    Args:
        cache: None computes keys and values in every call.

    Raises:
        InputError: an attention does more than those of Stable Diffusion.
    """
    for name in unet.attn_processors:
        layer = unet.get_submodule(name.removesuffix(".processor"))
        plain = layer.group_norm is None and layer.spatial_norm is None and layer.norm_q is None
        if not plain or layer.norm_cross or layer.residual_connection or layer.rescale_output_factor != 1:
            raise InputError(
                f"the UNet's {name} is no attention of Stable Diffusion 1.x or 2.x; use one of these"
            )
        layer.set_processor(Processor(kernel, cache if layer.is_cross_attention else None))


class TextCache:
    """Keys and values, by text and layer.

    One text for the whole batch comes as one embedding expanded over it: a view whose rows share memory. The
    cache recognises such a view by its memory, without reading numbers, for which a GPU would have to wait.
    It computes keys and values of one row, keeps and expands them. It does not cache other embeddings, such
    as those of the prompt for a camera, which are new in every iteration.
    """

    TEXTS = 8
    """Texts in the cache at most; a run has two constant ones, the empty text and the negative prompt."""

    def __init__(self) -> None:
        self._texts: OrderedDict[tuple[Any, ...], _Text] = OrderedDict()

    def __len__(self) -> int:
        return len(self._texts)

    def pair(self, layer: Any, text: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values [B, L, D'] of embeddings [B, L, D] in one attention layer."""
        if text.shape[0] > 1 and text.stride(0) != 0:
            return layer.to_k(text), layer.to_v(text)
        row = text[:1]
        key = (row.data_ptr(), row._version, row.shape, row.stride(), row.dtype, row.device)
        if key not in self._texts:
            if len(self._texts) == self.TEXTS:
                self._texts.popitem(last=False)
            self._texts[key] = _Text(row, {})
        self._texts.move_to_end(key)
        pairs = self._texts[key].pairs
        if id(layer) not in pairs:
            pairs[id(layer)] = (layer.to_k(row), layer.to_v(row))
        k, v = pairs[id(layer)]
        return k.expand(text.shape[0], -1, -1), v.expand(text.shape[0], -1, -1)


@dataclass(frozen=True)
class _Text:
    row: Tensor
    """Held so that no other text can get its address."""
    pairs: dict[int, tuple[Tensor, Tensor]]


class Processor:
    """diffusers' processor of an attention layer; softmax(q k^T / sqrt(d)) v, Vaswani et al. 2017."""

    def __init__(self, kernel: Kernel, cache: TextCache | None) -> None:
        self._kernel = kernel
        self._cache = cache

    def __call__(
        self, attn: Any, hidden_states: Tensor, encoder_hidden_states: Tensor | None = None, **_: Any
    ) -> Tensor:
        """Tokens [B, L, C], texts [B, L', D] or None for attention within => [B, L, C]."""
        q = attn.to_q(hidden_states)
        if self._cache is not None and encoder_hidden_states is not None:
            k, v = self._cache.pair(attn, encoder_hidden_states)
        else:
            seen = hidden_states if encoder_hidden_states is None else encoder_hidden_states
            k, v = attn.to_k(seen), attn.to_v(seen)
        heads = (x.unflatten(-1, (attn.heads, -1)).transpose(1, 2) for x in (q, k, v))
        out = self._kernel(*heads).transpose(1, 2).flatten(2)
        result: Tensor = attn.to_out[0](out)
        return result
