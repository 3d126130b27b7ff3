"""A prior on a CUDA device against the same on the CPU: half precision, graphs, the count of its memory."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tiny import write_folder

from sctd.config.prior import PriorSettings
from sctd.prior import load_prior
from sctd.prior.card_memory import META, Ledger
from sctd.prior.diffusers_prior import DiffusersPrior
from sctd.prior.vae import Autoencoder

pytestmark = pytest.mark.gpu


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_folder(tmp_path_factory.mktemp("gpu") / "tiny")


def load(folder: Path, dtype: torch.dtype = torch.float32, **settings: object) -> DiffusersPrior:
    prior = load_prior(PriorSettings(name=str(folder), **settings), "cuda", dtype)
    assert isinstance(prior, DiffusersPrior)
    return prior


def test_half_precision_is_the_cpu_to_its_rounding(folder: Path) -> None:
    cpu, gpu = load_prior(str(folder)), load(folder, torch.float16)
    text, z, images = cpu.encode_text(["a duck", ""]), torch.randn(2, 4, 8, 8), torch.rand(2, 3, 16, 16)
    got = gpu.predict(z.cuda(), 300, gpu.encode_text(["a duck", ""]))
    torch.testing.assert_close(got.cpu(), cpu.predict(z, 300, text), rtol=0.02, atol=0.02)
    torch.testing.assert_close(
        gpu.encode_images(images.cuda()).cpu(), cpu.encode_images(images), rtol=0.02, atol=0.02
    )


def test_graphs_give_what_calls_give(folder: Path) -> None:
    graphed, plain = load(folder, cuda_graphs=True), load(folder)
    text = plain.encode_text(["a duck", "a mug"])
    for batch, t in ((2, 10), (1, 500), (2, 999)):
        z = torch.randn(batch, 4, 8, 8, device="cuda")
        torch.testing.assert_close(
            graphed.predict(z, t, text[:batch]), plain.predict(z, t, text[:batch]), rtol=1e-4, atol=1e-5
        )


def test_the_count_of_memory_is_what_the_allocator_says() -> None:
    """The real VAE's encoder with random weights, forward and backward; cuDNN's workspaces come on top."""
    from diffusers import AutoencoderKL

    channels = (128, 256, 512, 512)
    blocks = {"down_block_types": ["DownEncoderBlock2D"] * 4, "up_block_types": ["UpDecoderBlock2D"] * 4}

    def kept(device: torch.device) -> int:
        with device:
            module = AutoencoderKL(block_out_channels=channels, layers_per_block=2, **blocks)
            images = torch.zeros(2, 3, 256, 256, requires_grad=True)
        vae = Autoencoder(module.eval().requires_grad_(False), "full", 256)
        if device == META:
            ledger = Ledger()
            with ledger:
                latents = vae.encode(images, None, torch.float32)
                assert latents.requires_grad
                return ledger.live
        before = torch.cuda.memory_allocated()
        latents = vae.encode(images, None, torch.float32)
        assert latents.requires_grad
        return torch.cuda.memory_allocated() - before

    assert kept(torch.device("cuda")) == pytest.approx(kept(META), rel=0.1)
