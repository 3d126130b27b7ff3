"""Counts an iteration's launches, copies and waits on a GPU, beside network and VAE. No GPU takes part.

    python -m benchmarks.launches [--page docs/launches.md]      needs SCTD_SIMT_MODULE, see `make simt`

The trainer runs the preset sd21 with tensors that have shapes but no numbers, torch's FakeTensors, in the
place of the device's. A recorder sees every operation on them. Reading a number, for which the host
would wait, is an error; mixing them with tensors of the host, which would be a copy that waits, is recorded.
The emulation of the same CUDA sources (csrc/simt) gives the launches within the rasterizer's ops and Adam.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated, Any
from unittest.mock import patch

import torch
import typer
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from benchmarks.pages import Results, save
from benchmarks.pages.launches import markdown
from sctd import representation
from sctd.bench.workload import make_workload
from sctd.cameras import Viewpoints
from sctd.config import load_config
from sctd.gaussians import Gaussians
from sctd.machine import transfer
from sctd.ops import AdamGroup, _backend, _raster_cores, adam_schedule, adam_step_, rasterization
from sctd.ops._backend import native_simt
from sctd.prior.base import Traits
from sctd.trainer import Trainer

_NO_WORK = ("empty", "new_empty", "detach", "alias", "lift_fresh")


@dataclass
class Seen:
    """Of one iteration."""

    launches: list[str] = field(default_factory=list)
    to_device: int = 0
    """Copies from pinned memory."""
    stray: list[str] = field(default_factory=list)
    """Operations that take tensors of the host and of the device: copies before which the host waits."""
    to_host: int = 0
    """Copies to the host, which does not wait for them at once."""


class Recorder(TorchDispatchMode):
    """Records operations on tensors of the device; those of the host work as usual."""

    def __init__(self, mode: FakeTensorMode) -> None:
        super().__init__()
        self._mode = mode
        self.seen = Seen()

    def upload(self, tensor: Tensor, device: object = None) -> Tensor:
        """In the place of :func:`sctd.machine.transfer.to_device`."""
        if isinstance(tensor, FakeTensor):
            return tensor
        self.seen.to_device += 1
        return self._mode.from_tensor(tensor)  # type: ignore[no-any-return]

    def make(self, *shape: int, dtype: torch.dtype = torch.float16) -> Tensor:
        """A result of the network or the VAE."""
        with self._mode:
            return torch.empty(shape, dtype=dtype)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        tensors = [t for t in tree_leaves((args, kwargs or {})) if isinstance(t, Tensor)]
        ours = [isinstance(t, FakeTensor) for t in tensors]
        if any(ours):
            name = str(func).removesuffix(".default")
            if not all(ours):
                self.seen.stray.append(name)
            operation = name.split(".")[1]
            if not (name.startswith("prim.") or func.is_view or operation.startswith(_NO_WORK)):
                self.seen.launches.append(name)
        return func(*args, **(kwargs or {}))


class _Encode(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, images: Tensor, prior: HollowPrior) -> Tensor:
        ctx.shape, ctx.prior = images.shape, prior
        return prior.recorder.make(images.shape[0], *prior.traits.latent_shape, dtype=torch.float32)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        return ctx.prior.recorder.make(*ctx.shape, dtype=torch.float32), None


class HollowPrior:
    """Shapes and types of Stable Diffusion 2.1 base in half precision, and nothing else."""

    def __init__(self, recorder: Recorder) -> None:
        self.recorder = recorder
        betas = torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.float64) ** 2
        self.traits = Traits(
            device=torch.device("cpu"),
            dtype=torch.float16,
            image_size=512,
            latent_shape=(4, 64, 64),
            alphas_cumprod=(1 - betas).cumprod(0),
        )

    def check_prompt(self, prompt: str, texts: Sequence[str] = ()) -> None:
        """Anything."""

    def encode_text(self, texts: list[str]) -> Tensor:
        """Texts of CLIP's length."""
        return self.recorder.make(len(texts), 77, 1024)

    def encode_cameras(self, views: Viewpoints) -> None:
        """None: Stable Diffusion reads words."""

    def predict(self, latents: Tensor, t: int, embeddings: Tensor, cameras: None = None) -> Tensor:
        """The network's output."""
        return self.recorder.make(*latents.shape)

    def posterior_noise(self, images: Tensor, generator: torch.Generator) -> None:
        """None: drawing and adding it is the VAE's business."""

    def encode_images(self, images: Tensor, noise: None) -> Tensor:
        """Latents."""
        latents: Tensor = _Encode.apply(images, self)  # type: ignore[no-untyped-call]
        return latents


@contextmanager
def hollow_gpu() -> Iterator[Recorder]:
    """Inside, FakeTensors stand for the device's: kernels for CUDA are chosen, and all is recorded."""
    mode = FakeTensorMode(allow_non_fake_inputs=True)
    recorder = Recorder(mode)

    class Numbers:
        """In the place of :class:`sctd.machine.transfer.Readback`: made up, as there are none."""

        def __init__(self, tensors: dict[str, Tensor]) -> None:
            recorder.seen.to_host += len(tensors)
            strided = [name for name, t in tensors.items() if not t.is_contiguous()]
            recorder.seen.launches += [f"gather of {name}" for name in strided]
            self._shapes = {name: t.shape for name, t in tensors.items()}

        def get(self) -> dict[str, Tensor]:
            """Ones."""
            return {name: torch.ones(shape) for name, shape in self._shapes.items()}

    def automatic(tensor: Tensor, kernels: Sequence[str]) -> str:
        return next((name for name in ("cuda", "triton") if name in kernels), "reference")

    def moved(gaussians: Gaussians, device: object) -> Gaussians:
        return Gaussians(**{name: recorder.upload(p) for name, p in gaussians.parameters().items()})

    with ExitStack() as stack:
        stack.enter_context(patch.object(_backend, "_automatic", automatic))
        stack.enter_context(patch.object(_backend, "native_cuda", SimpleNamespace))
        stack.enter_context(patch.object(Gaussians, "to", moved))
        stack.enter_context(patch.object(transfer, "Readback", Numbers))
        stack.enter_context(patch.object(transfer, "to_device", recorder.upload))
        for cache in (_raster_cores.core, representation._row):
            cache.cache_clear()
            stack.callback(cache.cache_clear)
        yield stack.enter_context(recorder)


def record(overrides: Sequence[str] = (), iterations: int = 12) -> list[Seen]:
    """Records of iterations of the preset sd21, after two that set up tables; the pairs are counted."""
    config = load_config("sd21", None, overrides, prompt="a corgi wearing a top hat")
    with hollow_gpu() as recorder:
        trainer = Trainer(config, HollowPrior(recorder))
        trainer.asset.capacity.pairs = 1 << 20
        statistics = trainer.asset.strategy.statistics
        for name, tensor in list(vars(statistics).items()):
            setattr(statistics, name, recorder.upload(tensor))
        found = []
        for _ in range(iterations + 2):
            recorder.seen = Seen()
            trainer.step()
            found.append(recorder.seen)
    return found[2:]


def inside() -> dict[str, list[str]]:
    """Kernels of this project by the op that launches them: four cameras, colours and depth, one step."""
    simt = native_simt()
    simt.take_counters()

    def launched() -> list[str]:
        names = [name.removeprefix("warps ") for name in simt.take_counters() if name.startswith("warps ")]
        return sorted(name.strip("()").split("<")[0] for name in names)

    scene = make_workload(50, 32, cameras=4)
    scene["colors"] = scene["colors"][:, None].requires_grad_()  # as coefficients of degree 0
    renders, _, _ = rasterization(**scene, sh_degree=0, render_mode="RGB+D", backend="cuda-simt")
    forward = launched()
    renders.sum().backward()
    backward = launched()
    groups = [AdamGroup(*(torch.zeros(4, 3) for _ in range(4)))]
    schedule = adam_schedule([0.1], step=1, beta1=0.9, beta2=0.99)
    adam_step_(groups, schedule, beta1=0.9, beta2=0.99, eps=1e-15, backend="cuda-simt")
    of_ops = {
        "sctd.project": [k for k in forward if k.startswith("project")],
        "sctd.tile_lists": [k for k in forward if not k.startswith(("project", "blend"))],
        "sctd.blend": [k for k in forward if k.startswith("blend")],
        "sctd.project_backward": [k for k in backward if k.startswith("project")],
        "sctd.blend_backward": [k for k in backward if not k.startswith("project")],
    }
    return {**of_ops, "sctd.adam": launched()}


def measured() -> Results:
    """Counts of the shortest and the longest iteration, what the longest launches, and kernels within ops."""
    by_length = sorted(record(), key=lambda seen: len(seen.launches))
    plain, disparity = by_length[0], by_length[-1]
    within = inside()

    def kernels(seen: Seen) -> int:
        return sum(len(within.get(name, [name])) for name in seen.launches)

    columns = (plain, disparity)
    counts = {
        "operations, an op of sctd counts as one": [len(seen.launches) for seen in columns],
        "the same, kernels of this project one by one": [kernels(seen) for seen in columns],
        "copies to the device, all from pinned memory": [seen.to_device for seen in columns],
        "copies to the host, read once the next iteration is queued": [seen.to_host for seen in columns],
        "the host waits for the device, or mixes tensors of both": [len(seen.stray) for seen in columns],
    }
    return {"counts": counts, "launches": disparity.launches, "within": within}


def main(
    page: Annotated[
        Path | None, typer.Option(help="Markdown page; the numbers go beside it as JSON.")
    ] = None,
) -> None:
    """Print the page, or write it."""
    if page is None:
        print(markdown(measured()))
    else:
        save(page, measured(), markdown)


if __name__ == "__main__":
    typer.run(main)
