"""Step 8 of 9: Adam over the Gaussians, its learning rates, and its state when the Gaussians change."""

from __future__ import annotations

import torch
from torch import Tensor

from sctd.config.asset import OptimSettings, RateSettings
from sctd.gaussians import Gaussians
from sctd.rates import learning_rate


def clip_norm(settings: OptimSettings, iteration: int) -> float | None:
    """Largest gradient norm of each kind of parameter at an iteration; None: no limit."""
    if not settings.clip:
        return None
    progress = min(iteration / settings.clip_iterations, 1.0)
    return settings.clip_start + progress * (settings.clip_end - settings.clip_start)


class GaussianAdam:
    """Adam with one learning rate a parameter, and rows that follow their Gaussians.

    Source: Kingma and Ba 2015; epsilon 1e-15 as in 3D Gaussian Splatting, whose gradients are tiny.
    """

    def __init__(self, gaussians: Gaussians, settings: OptimSettings, iterations: int) -> None:
        self.gaussians = gaussians.requires_grad_()
        self.settings = settings
        self.iterations = iterations
        self.exp_avg = {name: torch.zeros_like(p) for name, p in self._parameters().items()}
        self.exp_avg_sq = {name: torch.zeros_like(p) for name, p in self._parameters().items()}

    def _parameters(self) -> dict[str, Tensor]:
        """The parameters with elements in them: at degree 0 there is no shN to optimise."""
        return {name: p for name, p in self.gaussians.parameters().items() if p.numel()}

    def gradients(self) -> dict[str, Tensor]:
        """Name => gradient, of the parameters that have one."""
        return {name: p.grad for name, p in self._parameters().items() if p.grad is not None}

    def zero_grad(self) -> None:
        """Clear all gradients."""
        for p in self.gaussians.parameters().values():
            p.grad = None

    def rate(self, name: str, iteration: int) -> float:
        """Learning rate of a parameter at a 0-based iteration; that of the positions is in world units."""
        rate: RateSettings = getattr(self.settings, name)
        scale = self.settings.extent if name == "means" else 1.0
        return scale * learning_rate(rate, iteration, self.iterations)

    @torch.no_grad()
    def step(
        self,
        iteration: int,
        visible: Tensor | None = None,
        watched: Tensor | None = None,
        backend: str = "auto",
    ) -> Tensor:
        """Update every parameter that has a gradient, in place; gradients stay until :meth:`zero_grad`.

        Args:
            iteration: 0-based; it sets the rates, and the bias correction, which thereby also counts
                iterations that changed nothing, so that the host need not ask the device about them.
            visible, watched, backend: see :func:`sctd.ops.adam_step_`.

        Returns:
            The norms of :meth:`gradients`, in their order, and of ``watched``; not finite: nothing changed.
        """
        from sctd.ops import AdamGroup, adam_schedule, adam_step_

        parameters = self._parameters()
        groups = {
            name: AdamGroup(parameters[name], grad, self.exp_avg[name], self.exp_avg_sq[name])
            for name, grad in self.gradients().items()
        }
        s = self.settings
        schedule = adam_schedule(
            [self.rate(name, iteration) for name in groups],
            step=iteration + 1,
            beta1=s.beta1,
            beta2=s.beta2,
            grad_clip_norm=clip_norm(s, iteration),
            device=self.gaussians.means.device,
        )
        return adam_step_(
            list(groups.values()),
            schedule,
            beta1=s.beta1,
            beta2=s.beta2,
            eps=s.eps,
            visible=visible,
            watched=watched,
            backend=backend,
        )

    @torch.no_grad()
    def replace(self, gaussians: Gaussians, source: Tensor, fresh: Tensor) -> None:
        """Replace the Gaussians.

        Args:
            gaussians: the new ones, M of them.
            source: for each, the old row it comes from, [M] int64.
            fresh: [M] bool: its moments start from zero instead of being the source's.
        """
        self.gaussians = gaussians.requires_grad_()
        for moments in (self.exp_avg, self.exp_avg_sq):
            for name, old in moments.items():
                rows = old[source]
                rows[fresh] = 0
                moments[name] = rows

    def reset_moments(self, name: str) -> None:
        """Clear the moments of one kind of parameter."""
        self.exp_avg[name].zero_()
        self.exp_avg_sq[name].zero_()

    def state_dict(self) -> dict[str, Tensor]:
        """Moments by "exp_avg.<name>" and "exp_avg_sq.<name>"."""
        return {f"exp_avg.{name}": m for name, m in self.exp_avg.items()} | {
            f"exp_avg_sq.{name}": m for name, m in self.exp_avg_sq.items()
        }

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Restore :meth:`state_dict` of an optimiser of as many Gaussians."""
        for name in self.exp_avg:
            self.exp_avg[name] = state[f"exp_avg.{name}"].to(self.exp_avg[name].device)
            self.exp_avg_sq[name] = state[f"exp_avg_sq.{name}"].to(self.exp_avg_sq[name].device)
