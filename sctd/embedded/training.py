"""What every training of the embedded prior shares: the schedule, the average of weights, checkpoints,
progress."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import torch
import torch.nn.functional as F
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from sctd.interrupts import Interrupts

Report = Callable[[str], None]


def learning_rate(step: int, steps: int, peak: float, warmup: int = 200, decay: float = 0.3) -> float:
    """Warm up, stay, fall to zero over the last ``decay`` of the run (cosine-shaped).

    A run can be prolonged or cut short from any checkpoint of the flat part.
    """
    start = (1 - decay) * steps
    fall = min(max(0.0, (step - start) / max(steps - start, 1)), 1.0)
    return peak * min(1.0, (step + 1) / warmup) * 0.5 * (1 + float(torch.cos(torch.tensor(torch.pi * fall))))


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


def arithmetic() -> str:
    """What ``mixed_precision`` computes products in on this processor."""
    return "bfloat16" if torch.cpu._is_avx512_bf16_supported() else "float32"


@contextmanager
def mixed_precision() -> Iterator[None]:
    """Forward passes with bfloat16 products where the processor has them; weights and sums stay float32.

    Attention stays in float32: on CPUs Torch's gradient of bfloat16 attention takes as long as all the rest
    of the UNet together (measured with 2.13: 92 samples per second, 130 this way, 76 in float32).
    """
    if arithmetic() == "float32":
        yield
        return
    with torch.autocast("cpu", torch.bfloat16), _AttentionInFloat32():
        yield


@dataclass
class Run:
    """A model, its optimiser and the running average of its weights, saved and resumed together.

    ``folder`` takes ``NAME.safetensors``, written to a temporary name and renamed; step, seconds and
    losses are in its metadata.
    """

    name: str
    folder: Path
    model: nn.Module
    optimizer: torch.optim.Optimizer
    ema_decay: float = 0.999
    step: int = 0
    seconds: float = 0.0
    losses: list[tuple[int, float]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.ema = {key: value.detach().clone() for key, value in self.model.state_dict().items()}

    @property
    def path(self) -> Path:
        return self.folder / f"{self.name}.safetensors"

    def update_average(self) -> None:
        decay = min(self.ema_decay, (1 + self.step) / (10 + self.step))
        floats = [(self.ema[k], v) for k, v in self.model.state_dict().items() if v.is_floating_point()]
        torch._foreach_lerp_([pair[0] for pair in floats], [pair[1].detach() for pair in floats], 1 - decay)

    def save(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        tensors = {f"model.{k}": v for k, v in self.model.state_dict().items()}
        tensors |= {f"ema.{k}": v for k, v in self.ema.items()}
        for index, state in self.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{index}.{k}": torch.as_tensor(v) for k, v in state.items()}
        facts = {"step": self.step, "seconds": self.seconds, "losses": self.losses}
        temporary = self.path.with_suffix(".tmp")
        save_file(
            {k: v.detach().clone().contiguous() for k, v in tensors.items()},
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
        self.ema = _under("ema.", tensors)
        state: dict[int, dict[str, Tensor]] = {}
        for key, value in _under("optimizer.", tensors).items():
            index, name = key.split(".", 1)
            state.setdefault(int(index), {})[name] = value
        self.optimizer.load_state_dict(
            {"state": state, "param_groups": self.optimizer.state_dict()["param_groups"]}
        )
        self.step, self.seconds = facts["step"], facts["seconds"]
        self.losses = [(int(step), float(loss)) for step, loss in facts["losses"]]
        return True

    def train(
        self,
        loss_of: Callable[[int], Tensor],
        steps: int,
        peak_rate: float,
        report: Report,
        clip: float = 1.0,
        save_every_seconds: float = 120.0,
    ) -> None:
        """Take optimiser steps up to ``steps``; ``loss_of(step)`` gives the loss of a step's batch.

        Raises:
            KeyboardInterrupt: after Ctrl-C, SIGTERM or SIGHUP, once a checkpoint is saved.
        """
        last_save = started = time.monotonic()
        before, recent = self.seconds, []
        with Interrupts(report, wait=True) as interrupts:
            while self.step < steps:
                for group in self.optimizer.param_groups:
                    group["lr"] = learning_rate(self.step, steps, peak_rate)
                loss = loss_of(self.step)
                self._descend(loss, clip)
                recent.append(float(loss.detach()))
                now = time.monotonic()
                self.seconds = before + now - started
                if self.step % 100 == 0 or self.step == steps:
                    mean = sum(recent) / len(recent)
                    recent.clear()
                    self.losses.append((self.step, mean))
                    left = (steps - self.step) * self.seconds / self.step
                    report(
                        f"{self.name}: step {self.step}/{steps}, loss {mean:.4f}, {left / 60:.1f} min left"
                    )
                if interrupts.pending:
                    self.save()
                    raise KeyboardInterrupt(f"stopped at {self.name} step {self.step}; go on with --resume")
                if now - last_save > save_every_seconds:
                    self.save()
                    last_save = now
            self.save()

    def _descend(self, loss: Tensor, clip: float) -> None:
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), clip)
        self.optimizer.step()
        self.step += 1
        self.update_average()


def read_facts(path: Path) -> dict[str, Any]:
    """Step, seconds and losses ([step, mean loss] each) of a run's checkpoint."""
    with safe_open(path, "pt") as file:
        return dict(json.loads(file.metadata()["run"]))


def _under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {key[len(prefix) :]: value for key, value in tensors.items() if key.startswith(prefix)}


def adamw(
    parameters: Iterable[nn.Parameter], rate: float, weight_decay: float = 0.01
) -> torch.optim.Optimizer:
    return cast(
        torch.optim.Optimizer,
        torch.optim.AdamW(
            list(parameters), lr=rate, betas=(0.9, 0.99), weight_decay=weight_decay, fused=True
        ),
    )
