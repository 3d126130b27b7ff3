"""The loop of every training of the embedded prior: length, rate, averaged weights, checkpoints, progress."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from sctd.embedded.together import ALONE, Member
from sctd.run.interrupts import Interrupts

Report = Callable[[str], None]


@dataclass(frozen=True)
class Length:
    """The length of a stage with its earlier sessions: a number of steps or of minutes."""

    steps: int | None = None
    minutes: float | None = None

    def __post_init__(self) -> None:
        assert (self.steps is None) != (self.minutes is None), "either steps or minutes"

    def done(self, step: int, seconds: float) -> float:
        """The finished share, 0..1."""
        if self.steps is not None:
            return min(step / self.steps, 1.0)
        assert self.minutes is not None
        return min(seconds / (60 * self.minutes), 1.0)


def rate_factor(step: int, done: float, warmup: int = 200, decay: float = 0.3) -> float:
    """Factor on the learning rate: warm up, stay, fall to zero over the last ``decay`` of the run (a cosine).

    A run can be prolonged or cut short from any checkpoint of the flat part.

    Args:
        done: finished share of the run, 0..1.
    """
    fall = max(0.0, done - (1 - decay)) / decay
    return min(1.0, (step + 1) / warmup) * 0.5 * (1 + math.cos(math.pi * fall))


def exponential_average(decay: float) -> Callable[[int], float]:
    """Step => the weight of the old average: a window of 1 / (1 - decay) steps or shorter."""
    return lambda step: min(decay, (1 + step) / (10 + step))


def power_average(width: float) -> Callable[[int], float]:
    """Step => the weight of the old average: a window of a constant part of the run.

    Args:
        width: its standard deviation, as a part of the run, 0..0.28.

    Source: Karras et al. 2024, arXiv:2312.02696, section 3.1: beta = (1 - 1/t)^(gamma + 1), with gamma from
    width = sqrt((gamma + 1) / ((gamma + 2)^2 (gamma + 3))).
    """
    low, high = 0.0, 1e4
    for _ in range(100):  # the width falls with gamma
        gamma = (low + high) / 2
        wide = math.sqrt((gamma + 1) / ((gamma + 2) ** 2 * (gamma + 3))) > width
        low, high = (gamma, high) if wide else (low, gamma)
    return lambda step: (1 - 1 / max(step, 1)) ** (gamma + 1)


def step_generator(seed: int, step: int) -> torch.Generator:
    """The random stream of one step: a function of seed and step alone, so that resuming needs no generator
    state."""
    return torch.Generator().manual_seed((seed * 1_000_003 + step * 7_919 + 17) % 2**63)


class _AttentionInFloat32(TorchFunctionMode):
    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is not F.scaled_dot_product_attention:
            return func(*args, **(kwargs or {}))
        with torch.autocast("cpu", enabled=False):
            return func(*(a.float() for a in args[:3]), *args[3:], **(kwargs or {}))


CPU = torch.device("cpu")


def arithmetic(device: torch.device = CPU) -> str:
    """The dtype of products in ``mixed_precision`` on this device."""
    fast = torch.cuda.is_bf16_supported() if device.type == "cuda" else torch.cpu._is_avx512_bf16_supported()
    return "bfloat16" if fast else "float32"


@contextmanager
def mixed_precision(device: torch.device = CPU) -> Iterator[None]:
    """Forward passes with bfloat16 products where the device has them; weights and sums stay float32.

    On a CPU attention stays in float32: Torch's gradient of bfloat16 attention takes as long there as all the
    rest of the UNet together (measured with 2.13: 92 samples per second, 130 this way, 76 in float32).
    """
    if arithmetic(device) == "float32":
        yield
    elif device.type == "cuda":
        with torch.autocast("cuda", torch.bfloat16):
            yield
    else:
        with torch.autocast("cpu", torch.bfloat16), _AttentionInFloat32():
            yield


@dataclass
class Run:
    """A model, its optimisers and the running average of its weights, saved and resumed together.

    ``folder`` takes ``NAME.safetensors``, written to a temporary name and renamed; step, seconds and
    losses are in its metadata.
    """

    name: str
    folder: Path
    model: nn.Module
    optimizers: Sequence[torch.optim.Optimizer]
    average: Callable[[int], float] = field(default_factory=lambda: exponential_average(0.999))
    member: Member = ALONE
    step: int = 0
    seconds: float = 0.0
    losses: list[tuple[int, float]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.ema = {key: value.detach().clone() for key, value in self.model.state_dict().items()}
        self._rates = [[group["lr"] for group in optimizer.param_groups] for optimizer in self.optimizers]

    @property
    def path(self) -> Path:
        return self.folder / f"{self.name}.safetensors"

    def update_average(self) -> None:
        floats = [(self.ema[k], v) for k, v in self.model.state_dict().items() if v.is_floating_point()]
        share = 1 - self.average(self.step)
        torch._foreach_lerp_([pair[0] for pair in floats], [pair[1].detach() for pair in floats], share)

    def save(self) -> None:
        """Write the checkpoint; of several processes the first one does."""
        if not self.member.leads:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        tensors = {f"model.{k}": v for k, v in self.model.state_dict().items()}
        tensors |= {f"ema.{k}": v for k, v in self.ema.items()}
        for which, optimizer in enumerate(self.optimizers):
            for index, state in optimizer.state_dict()["state"].items():
                tensors |= {f"optimizer.{which}.{index}.{k}": torch.as_tensor(v) for k, v in state.items()}
        facts = {"step": self.step, "seconds": self.seconds, "losses": self.losses}
        temporary = self.path.with_suffix(".tmp")
        save_file(
            {k: v.detach().cpu().clone().contiguous() for k, v in tensors.items()},
            temporary,
            {"run": json.dumps(facts)},
        )
        temporary.replace(self.path)

    def resume(self) -> bool:
        """Continue from the checkpoint in ``folder``; false when there is none."""
        if not self.path.exists():
            return False
        facts = read_facts(self.path)
        tensors = load_file(self.path)
        self.model.load_state_dict(_under("model.", tensors))
        for key, value in _under("ema.", tensors).items():
            self.ema[key].copy_(value)
        for which, optimizer in enumerate(self.optimizers):
            state: dict[int, dict[str, Tensor]] = {}
            for key, value in _under(f"optimizer.{which}.", tensors).items():
                index, name = key.split(".", 1)
                state.setdefault(int(index), {})[name] = value
            groups = optimizer.state_dict()["param_groups"]
            optimizer.load_state_dict({"state": state, "param_groups": groups})
        self.step, self.seconds = facts["step"], facts["seconds"]
        self.losses = [(int(step), float(loss)) for step, loss in facts["losses"]]
        return True

    def train(
        self,
        loss_of: Callable[[int], Tensor],
        length: Length,
        report: Report,
        clip: float = 1.0,
        save_every_seconds: float = 180.0,
        batch: int | None = None,
        saved: Callable[[], None] = lambda: None,
    ) -> None:
        """Take optimiser steps until ``length`` is reached; ``loss_of(step)`` is the loss of a step's batch.

        Args:
            batch: samples in a step, of all processes, for the progress line.
            saved: called after each checkpoint.

        Raises:
            KeyboardInterrupt: after Ctrl-C, SIGTERM or SIGHUP, once a checkpoint is saved.
            TrainingFailure: another process of this training has ended.
        """
        last_save = since = started = time.monotonic()
        before, recent = self.seconds, []
        with Interrupts(report, wait=True) as interrupts:
            while (done := length.done(self.step, self.seconds)) < 1:
                loss = loss_of(self.step)
                self.model.zero_grad(set_to_none=True)
                loss.backward()
                stop, self.seconds = self.member.agree(
                    self.model, interrupts.pending, before + time.monotonic() - started
                )
                self._descend(rate_factor(self.step, done), clip)
                recent.append(loss.detach())
                now = time.monotonic()
                done = length.done(self.step, self.seconds)
                if self.step % 100 == 0 or done == 1:
                    mean = float(torch.stack(recent).mean())
                    speed = "" if batch is None else f", {batch * len(recent) / (now - since):.0f} samples/s"
                    recent.clear()
                    since = now
                    self.losses.append((self.step, mean))
                    report(f"{self.name}: step {self.step}, {100 * done:.1f} % done, loss {mean:.4f}{speed}")
                if stop:
                    self.save()
                    raise KeyboardInterrupt(
                        f"stopped at {self.name} step {self.step}; continue with --resume"
                    )
                if now - last_save > save_every_seconds:
                    self.save()
                    saved()
                    last_save = time.monotonic()
            self.save()
            saved()

    def _descend(self, factor: float, clip: float) -> None:
        """One step of the optimisers with the gradients that are there, at their rates times a factor."""
        for optimizer, rates in zip(self.optimizers, self._rates, strict=True):
            for group, rate in zip(optimizer.param_groups, rates, strict=True):
                group["lr"] = rate * factor
        nn.utils.clip_grad_norm_(self.model.parameters(), clip)
        for optimizer in self.optimizers:
            optimizer.step()
        self.step += 1
        self.update_average()


def read_facts(path: Path) -> dict[str, Any]:
    """Step, seconds and losses ([step, mean loss] each) of a run's checkpoint."""
    with safe_open(path, "pt") as file:
        return dict(json.loads(file.metadata()["run"]))


def _under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {key[len(prefix) :]: value for key, value in tensors.items() if key.startswith(prefix)}
