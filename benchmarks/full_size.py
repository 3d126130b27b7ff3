"""Runs real iterations with Stable Diffusion 2.1 base's own architecture and random weights, on a CPU.

    python -m benchmarks.full_size [--page docs/full_size.md] [--dtype float32] [--iterations 1]

A rehearsal of what a GPU will do, without a GPU and without 2.6 GB of weights: the whole trainer with the
preset sd21, one camera of 512 pixels. Shapes and gradients are checked, memory is compared with the estimate
of sctd/prior/memory.py, and seconds, FLOPs and bytes are booked by stage. Then the preset's own iteration,
four cameras in float16, is counted with networks that have shapes and no numbers: the bounds for cards.

Takes 9 GB. benchmarks/full_size_page.py makes the page out of what is found here.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any, Literal

import torch
import typer
from torch import Tensor, nn
from torch.utils._python_dispatch import _disable_current_modes

from benchmarks.full_size_page import page
from sctd.bench.machine import facts
from sctd.bench.memory import peak_mb, present_mb, reset_peak
from sctd.bench.stages import StageClock, instrumented
from sctd.bench.timing import busy_seconds
from sctd.bench.work import DEVICES, Operation, Work, bound
from sctd.config import Config, load_config
from sctd.errors import SctdError
from sctd.export.files import whole_file
from sctd.prior import memory
from sctd.prior.architectures import write_configs
from sctd.prior.diffusers_prior import DiffusersPrior
from sctd.prior.parts import Parts, quiet, read_scheduler
from sctd.prior.single_file import skeleton
from sctd.prior.sources import NETWORKS
from sctd.render import Render
from sctd.trainer import Scalars, Trainer

PROMPT = "a DSLR photo of a corgi wearing a top hat"
LATENTS = (4, 64, 64)
"""Of a picture of 512 pixels, as published: not what the code under test says."""
TOLERANCE = 0.15
"""The estimate of memory may be off by as much."""
POOL = 4_194_301
"""Random numbers that all weights are filled from, over and over: to draw 1.3 billion takes longer. A prime,
so that no two rows of a weight are alike."""
NETWORK = "network"
Dtype = Literal["float32", "bfloat16"]

Say = Callable[[str], None]


class Bytes:
    """A tokenizer for texts that nobody reads: a byte is a token. Takes the calls of the prior alone."""

    def __init__(self, length: int) -> None:
        """Takes the tokens that the text encoder reads."""
        self.model_max_length = length

    @dataclass(frozen=True)
    class Tokens:
        """What transformers' tokenizers give."""

        input_ids: Any

    def __call__(self, texts: str | list[str], **how: Any) -> Tokens:
        """One text => its tokens; several => [n, length] int64, padded with 0 and cut."""
        if isinstance(texts, str):
            return self.Tokens(list(texts.encode()))
        length = self.model_max_length
        rows = [text.encode()[:length].ljust(length, b"\0") for text in texts]
        return self.Tokens(torch.tensor([list(row) for row in rows]))


def read_shapes(folder: Path, dtype: torch.dtype) -> Parts:
    """The networks of a folder's configs, on the meta device."""
    with quiet():
        networks = {part: network.to(dtype) for part, network in skeleton(folder, folder.name).items()}
        tokenizer = Bytes(networks["text_encoder"].config.max_position_embeddings)
        return Parts(**networks, tokenizer=tokenizer, scheduler=read_scheduler(folder))


@torch.no_grad()
def fill(parts: Parts, seed: int) -> Parts:
    """Gives the networks memory and random weights that keep the numbers between layers near 1 in size."""
    pool, at = torch.randn(POOL, generator=torch.Generator().manual_seed(seed)), 0
    for network in (parts.unet, parts.vae, parts.text_encoder):
        network.to_empty(device="cpu")
        for name, buffer in network.named_buffers():
            if not name.endswith("position_ids"):
                raise SctdError(f"the networks have a buffer {name}, whose values are not known here")
            buffer.copy_(torch.arange(buffer.shape[-1]))
        for name, weight in network.named_parameters():
            if weight.dim() < 2:
                weight.fill_(float(name.endswith("weight")))  # of norms; all biases are 0
            else:
                at = _fill_from(pool, at, weight.view(-1))
                weight.mul_(weight[0].numel() ** -0.5)
    return parts


def _fill_from(pool: Tensor, at: int, flat: Tensor) -> int:
    """Copies the pool round and round, from ``at`` on; where the next one goes on."""
    done = 0
    while done < len(flat):
        piece = pool[at : at + len(flat) - done]
        flat[done : done + len(piece)].copy_(piece)
        done += len(piece)
        at = (at + len(piece)) % len(pool)
    return at


class Watched(Trainer):
    """A trainer that looks at the shapes and numbers that pass through its step."""

    def __init__(self, config: Config, prior: DiffusersPrior, latents: tuple[int, ...]) -> None:
        """Takes the shape [C, h, w] that latents must have."""
        super().__init__(config, prior)
        self._latents = (config.cameras.batch, *latents)

    def step(self) -> Scalars:
        """Raises SctdError where the trainer would only skip the update."""
        scalars = super().step()
        if "offender" in scalars:
            raise SctdError(f"iteration {self.iteration - 1}: {scalars['offender']} is not finite")
        return scalars

    def _backward(self, rendered: Render, z0: Tensor, grad: Tensor, terms: dict[str, Tensor]) -> None:
        _expect("latents", z0, self._latents)
        _expect("their gradient", grad, self._latents)
        super()._backward(rendered, z0, grad, terms)

    def _update(self, rendered: Render) -> dict[str, float]:
        gradients = self.optimiser.gradients()
        for name, parameter in self.gaussians.parameters().items():
            if parameter.numel():
                _expect(f"gradient of {name}", gradients.get(name), tuple(parameter.shape))
        return super()._update(rendered)


def _expect(what: str, x: Tensor | None, shape: tuple[int, ...]) -> None:
    """Raises SctdError unless the tensor has the shape, is finite and not zero all over."""
    if x is None or tuple(x.shape) != shape:
        raise SctdError(f"{what}: expected shape {shape}, got {None if x is None else tuple(x.shape)}")
    if not bool(torch.isfinite(x).all()) or not bool(x.any()):
        raise SctdError(f"{what}: expected finite numbers and not only zeros")


class Hollow(DiffusersPrior):
    """Networks on the meta device inside a trainer with real numbers.

    Every call runs the network without numbers, for those who count, and answers with noise of its shape.
    """

    @property
    def device(self) -> torch.device:
        """Where the numbers are."""
        return torch.device("cpu")

    def encode_text(self, texts: list[str]) -> Tensor:
        """See :class:`.Prior`; the text encoder does not run: a run asks it once."""
        return torch.randn(
            len(texts),
            self._tokenizer.model_max_length,
            self._unet.config.cross_attention_dim,
            dtype=self.dtype,
        )

    def predict(self, latents: Tensor, t: int, embeddings: Tensor) -> Tensor:
        """See :class:`.Prior`."""
        out = super().predict(_without_numbers(latents), t, _without_numbers(embeddings))
        return _noise_like(out)

    def encode_images(self, images: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """See :class:`.Prior`."""
        encode = super().encode_images
        return _Through.apply(images, lambda shape: encode(shape, generator))

    def decode_latents(self, latents: Tensor) -> Tensor:
        """See :class:`.Prior`."""
        return _noise_like(super().decode_latents(_without_numbers(latents)))


def _without_numbers(x: Tensor) -> Tensor:
    return torch.empty_strided(x.shape, x.stride(), dtype=x.dtype, device="meta")


def _noise_like(x: Tensor) -> Tensor:
    with _disable_current_modes():  # no network draws it: it is not to be counted
        return torch.randn(x.shape, dtype=torch.float32).to(x.dtype)


class _Through(torch.autograd.Function):
    """A function of shapes, forward and backward, between tensors with numbers."""

    @staticmethod
    def forward(ctx: Any, images: Tensor, function: Callable[[Tensor], Tensor]) -> Tensor:
        with torch.enable_grad():
            ctx.shape = _without_numbers(images).requires_grad_()
            ctx.out = function(ctx.shape)
        return _noise_like(ctx.out)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        (grad,) = torch.autograd.grad(ctx.out, ctx.shape, _without_numbers(grads[0]))
        return _noise_like(grad), None


class NumberedClock(StageClock):
    """Each call of the network is a stage of its own, and each stage has its largest resident memory."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0
        self.peaks: dict[str, float] = {}
        """MB."""

    def enter(self, stage: str) -> None:
        """See :class:`StageClock`."""
        self.calls += stage == NETWORK
        super().enter(f"{NETWORK}, call {self.calls}" if stage == NETWORK else stage)

    def _settle(self) -> None:
        if self.stage:
            self.peaks[self.stage] = max(peak_mb(), self.peaks.get(self.stage, 0.0))
        reset_peak()
        super()._settle()


@dataclass(frozen=True)
class Plan:
    """What is rehearsed."""

    folder: Path
    """A pipeline's configs in diffusers' layout; weights and tokenizer are not looked at."""
    config: Config
    """Of the real iterations."""
    preset: Config
    """Of the iteration that is counted for graphics cards."""
    dtype: torch.dtype
    """Of the networks in the real iterations."""
    latents: tuple[int, ...]
    """[C, h, w] that must come out."""
    iterations: int


def rehearse(plan: Plan, say: Say) -> dict[str, Any]:
    """Everything that the page shows but the machine; plain values for JSON.

    Raises:
        SctdError: a shape is not what it must be, or a number is not finite.
    """
    start = present_mb()
    reset_peak()
    began, cpu = time.perf_counter(), time.process_time()
    parts = fill(read_shapes(plan.folder, plan.dtype), plan.config.seed)
    with quiet():
        prior = DiffusersPrior(parts, "random", torch.device("cpu"), plan.dtype, settings=plan.config.prior)
    loading = {"wall_s": time.perf_counter() - began, "cpu_s": time.process_time() - cpu}
    say(f"networks filled in {loading['wall_s']:.0f} s")
    trainer = Watched(plan.config, prior, plan.latents)
    loaded = present_mb() - start
    clock = NumberedClock()
    clock.peaks["loading"] = peak_mb()
    iterations = [_iteration(trainer, clock, say) for _ in range(plan.iterations)]
    say("one more iteration, counted")
    work = summary(count(trainer, parts, clock))
    say("the preset's iteration, counted without numbers")
    estimate = memory.estimate_memory(plan.config, plan.dtype)
    return {
        "loading": loading,
        "iterations": iterations,
        "memory": {
            "loaded_mb": loaded,
            "peak_mb": max(clock.peaks.values()) - start,
            "stages_mb": {stage: peak - start for stage, peak in clock.peaks.items()},
            "estimate_mb": {name: size / 1e6 for name, size in estimate.parts.items()},
        },
        "parameters": {name: sum(p.numel() for p in vars(parts)[name].parameters()) for name in NETWORKS},
        "work": work,
        "preset": summary(preset_iteration(plan.folder, plan.preset)),
    }


def _iteration(trainer: Trainer, clock: NumberedClock, say: Say) -> dict[str, Any]:
    """One step: seconds by stage, wall and of this process's threads, and what it logs."""
    clock.calls = 0
    busy, began, cpu = busy_seconds(), time.perf_counter(), time.process_time()
    with instrumented(trainer, clock):
        scalars = trainer.step()
    own, took = time.process_time() - cpu, time.perf_counter() - began
    others = None if busy is None else max(0.0, ((busy_seconds() or 0.0) - busy - own) / took)
    say(f"iteration {trainer.iteration}: {took:.1f} s")
    wall_s, cpu_s = clock.take()
    return {"wall_s": wall_s, "cpu_s": cpu_s, "others_cores": others, "scalars": scalars}


def count(trainer: Trainer, parts: Parts, clock: NumberedClock) -> list[Operation]:
    """The operations of one more step of a trainer."""
    clock.calls = 0
    with instrumented(trainer, clock), Work(clock, _weights(parts)) as work:
        trainer.step()
    return work.operations


def _weights(parts: Parts) -> list[Tensor]:
    networks: tuple[nn.Module, ...] = (parts.unet, parts.vae, parts.text_encoder)
    return [weight for network in networks for weight in network.parameters()]


def preset_iteration(folder: Path, config: Config) -> list[Operation]:
    """The operations of a config's iteration on a card, with networks of shapes alone."""
    dtype = memory.card_dtype(config)
    parts = read_shapes(folder, dtype)
    with quiet():
        prior = Hollow(parts, "shapes", memory.META, dtype, settings=config.prior)
    trainer = Trainer(config, prior)
    with memory.fused_attention():
        return count(trainer, parts, NumberedClock())


def summary(operations: list[Operation]) -> dict[str, dict[str, Any]]:
    """Totals by stage, in the order of their first operation."""
    stages: dict[str, list[Operation]] = {}
    for op in operations:
        stages.setdefault(op.stage, []).append(op)
    return {
        stage: {
            "operations": len(ops),
            "flops": sum(op.flops for op in ops),
            "bytes": sum(op.bytes for op in ops),
            "weights": sum(op.weights for op in ops),
            "bounds_s": {device.name: vars(bound(ops, device)) for device in DEVICES},
        }
        for stage, ops in stages.items()
    }


def check_estimate(found: dict[str, Any]) -> None:
    """Raises SctdError when what the estimate counts is further from what was measured than TOLERANCE."""
    estimate, peak = counted_mb(found["memory"]), found["memory"]["peak_mb"]
    if abs(estimate / peak - 1) > TOLERANCE:
        raise SctdError(
            f"estimated {estimate:.0f} MB, measured {peak:.0f}: more than {TOLERANCE:.0%} apart; "
            "see sctd/prior/memory.py"
        )


def counted_mb(of_memory: dict[str, Any]) -> float:
    """The estimate without its lines for CUDA and its allocator, which are assumptions and not here."""
    return sum(mb for name, mb in of_memory["estimate_mb"].items() if not name.endswith("(assumed)"))


def main(
    target: Annotated[Path | None, typer.Option("--page", help="Markdown page to write.")] = None,
    dtype: Annotated[Dtype, typer.Option(help="Element type of the networks.")] = "float32",
    iterations: Annotated[int, typer.Option(min=1, help="Timed iterations; one more is counted.")] = 1,
    gaussians: Annotated[int, typer.Option(min=4, help="Number of Gaussians; the preset's: 81920.")] = 81920,
    threads: Annotated[int, typer.Option(min=1, help="Of torch and of the native code.")] = 2,
) -> None:
    """Rehearse, and print or write the page; beside it the numbers as JSON."""
    counts = (f"gaussians.count={gaussians}", f"densify.max_count={gaussians}")
    one = ("cameras.batch=1", "prior.attention=sdpa", *counts)
    config, preset = (
        load_config("sd21", prompt=PROMPT, device="cpu", overrides=settings) for settings in (one, one[1:2])
    )
    with TemporaryDirectory(prefix="sctd-") as name:
        folder = write_configs(Path(name), "sd2")
        plan = Plan(folder, config, preset, getattr(torch, dtype), LATENTS, iterations)
        machine = facts(threads)
        found = rehearse(plan, lambda text: print(text, file=sys.stderr))
    found |= {"machine": machine, "dtype": dtype, "gaussians": gaussians}
    check_estimate(found)
    text = page(found, TOLERANCE, counted_mb(found["memory"]))
    if target is None:
        print(text)
    else:
        with whole_file(target) as temporary:
            temporary.write_text(text, encoding="utf-8")
        with whole_file(target.with_suffix(".json")) as temporary:
            temporary.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    typer.run(main)
