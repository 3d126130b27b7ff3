"""Optimisers of the embedded prior's training: Muon for the matrices of a network, AdamW for the rest."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import groupby
from typing import Any, cast

import torch
from torch import Tensor, nn

# Coefficients of a quintic whose iterates bring all singular values near 1: Jordan et al. 2024, "Muon".
_A, _B, _C = 3.4445, -4.7750, 2.0315


def adamw(
    parameters: Iterable[nn.Parameter], rate: float, weight_decay: float = 0.01
) -> torch.optim.Optimizer:
    return cast(
        torch.optim.Optimizer,
        torch.optim.AdamW(
            list(parameters), lr=rate, betas=(0.9, 0.99), weight_decay=weight_decay, fused=True
        ),
    )


def orthogonalised(matrices: Tensor, steps: int = 5) -> Tensor:
    """[k, m, n] => U V^T of each one's singular value decomposition, about: singular values 0.7..1.2.

    Source: Newton-Schulz iterations of Jordan et al. 2024, in bfloat16 as there.
    """
    x = matrices.bfloat16()
    tall = x.shape[1] > x.shape[2]
    if tall:
        x = x.transpose(1, 2).contiguous()
    x = x / torch.linalg.vector_norm(x, dim=(1, 2), keepdim=True, dtype=torch.float32).clamp_min(1e-12)
    x = x.bfloat16()
    for _ in range(steps):
        gram = x @ x.transpose(1, 2)
        quadratic = torch.baddbmm(gram, gram, gram, beta=_B, alpha=_C)
        x = torch.baddbmm(x, quadratic, x, beta=_A)
    made: Tensor = (x.transpose(1, 2) if tall else x).to(matrices.dtype)
    return made


class Muon(torch.optim.Optimizer):
    """Momentum, made orthogonal, for weights of two and more dimensions (a convolution's as [out, rest]).

    torch.optim.Muon takes no convolutions. An update is as large as AdamW's, 0.2 a number, so that both
    optimisers of a network can share one rate.

    Source: Jordan et al. 2024; the size: Liu et al. 2025, "Muon is Scalable for LLM Training",
    arXiv:2502.16982.
    """

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        rate: float,
        momentum: float = 0.95,
        weight_decay: float = 0.01,
    ) -> None:
        super().__init__(list(parameters), {"lr": rate, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        assert closure is None
        for group in self.param_groups:
            weights = sorted((p for p in group["params"] if p.grad is not None), key=_matrix_shape)
            for _shape, same in groupby(weights, _matrix_shape):
                self._step(list(same), group)

    def _step(self, weights: list[Tensor], group: dict[str, Any]) -> None:
        updates = []
        for weight in weights:
            grad, state = weight.grad, self.state[weight]
            assert grad is not None
            momentum = state.setdefault("momentum", torch.zeros_like(weight))
            momentum.lerp_(grad, 1 - group["momentum"])
            updates.append(grad.lerp(momentum, group["momentum"]).flatten(1))  # Nesterov's
        made = orthogonalised(torch.stack(updates))
        size = 0.2 * max(made.shape[1:]) ** 0.5
        for weight, update in zip(weights, made, strict=True):
            weight.mul_(1 - group["lr"] * group["weight_decay"])
            weight.add_(update.view_as(weight), alpha=-group["lr"] * size)


def _matrix_shape(weight: Tensor) -> tuple[int, int]:
    return weight.shape[0], weight[0].numel()


def muon_and_adamw(
    model: nn.Module, rate: float, not_matrices: tuple[str, ...]
) -> list[torch.optim.Optimizer]:
    """Both optimisers of a network.

    Args:
        not_matrices: parts of the names of weights that are no inner matrices (embeddings, first and last
            layers): AdamW takes them too.
    """
    matrices: list[nn.Parameter] = []
    others: list[nn.Parameter] = []
    for name, parameter in model.named_parameters():
        inner = parameter.ndim >= 2 and not any(part in name for part in not_matrices)
        (matrices if inner else others).append(parameter)
    return [Muon(matrices, rate), adamw(others, rate)]
