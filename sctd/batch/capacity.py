"""How many assets fit into memory at once."""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path

import torch

from sctd.batch.sharing.calls import Call, forward
from sctd.bench.memory import peak_mb, present_mb, reset_peak
from sctd.config import Config
from sctd.prior.base import Prior

MOST = 8
"""Assets in flight at most: a call of 8 times 4 pictures fills a processor. Not measured on a GPU."""
SHARE = 0.5
"""Share of the free memory; the rest is for Gaussians, renderings and other programs."""


def assets_that_fit(prior: Prior, config: Config) -> tuple[int, str]:
    """How many assets can be in flight, 1 to :data:`MOST`, and why, in words.

    Args:
        config: of the asset with the most cameras an iteration.
    """
    need, free = asset_bytes(prior, config.cameras.batch), free_bytes(prior.traits.device)
    count = max(1, min(MOST, int(SHARE * free / max(need, 1))))
    return count, f"one takes {need / 2**20:.0f} MiB in the prior, {free / 2**30:.1f} GiB are free"


def asset_bytes(prior: Prior, cameras: int) -> int:
    """Memory of the network and the VAE for one asset, measured by an iteration's calls with zeros."""
    device, size = prior.traits.device, prior.traits.image_size
    images = torch.zeros(cameras, 3, size, size, device=device)
    # as many latents as an iteration has at most at once: under two texts, with Perp-Neg two more
    latents = torch.zeros(4 * cameras, *prior.traits.latent_shape, device=device)
    texts = prior.encode_text([""]).expand(len(latents), -1, -1)
    before = _mark(device)
    leaf, out = forward(prior, Call("encode_images", (images, None), grad=True))
    forward(prior, Call("predict", (latents, 500, texts)))
    torch.autograd.grad(out, leaf, out.detach())
    return max(0, _peak(device) - before)


def free_bytes(device: torch.device) -> int:
    """Free memory of the device."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
        return torch.cuda.mem_get_info(device)[0]
    with suppress(OSError):
        found = re.search(r"MemAvailable:\s+(\d+) kB", Path("/proc/meminfo").read_text(encoding="ascii"))
        if found:
            return min(int(found[1]) << 10, _group_bytes())
    return 2 << 30  # no Linux: a guess on the safe side


def _group_bytes() -> int:
    """Memory that a container may still take; unlimited without a container."""
    folder = Path("/sys/fs/cgroup")
    try:
        limit, used = ((folder / f"memory.{name}").read_text(encoding="ascii") for name in ("max", "current"))
        return 1 << 62 if limit.strip() == "max" else max(0, int(limit) - int(used))
    except (OSError, ValueError):
        return 1 << 62


def _mark(device: torch.device) -> int:
    """Memory in use now; resets the peak to it."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        return int(torch.cuda.memory_allocated(device))
    reset_peak()
    return int(present_mb() * 1e6)


def _peak(device: torch.device) -> int:
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    return int(peak_mb() * 1e6)
