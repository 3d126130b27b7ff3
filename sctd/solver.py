"""Step 6 of 9: Phi, the first-order step along the probability-flow ODE, between timesteps.

The arithmetic is in :mod:`sctd.ops`; here timesteps become noise levels, the same for the whole batch.
"""

from __future__ import annotations

from torch import Tensor

from sctd import ops
from sctd.schedule import Level, Schedule


def _each(level: Level, like: Tensor) -> tuple[Tensor, Tensor]:
    """alpha and sigma, [B] each, in the dtype and on the device of ``like`` [B, ...]."""
    batch = (like.shape[0],)
    return like.new_full(batch, level.alpha), like.new_full(batch, level.sigma)


def add_noise(schedule: Schedule, z0: Tensor, noise: Tensor, t: int) -> Tensor:
    """z_t = alpha_t z0 + sigma_t noise, all [B, ...]."""
    return ops.noise(z0, noise, *_each(schedule.level(t), z0))


def phi(schedule: Schedule, z: Tensor, eps: Tensor, start: int, end: int) -> Tensor:
    """Phi(z, start -> end, eps): one first-order step of the PF-ODE, in either direction of time; [B, ...].

    z_end = alpha_end (z - sigma_start eps) / alpha_start + sigma_end eps: DDIM with eta 0, or DPM-Solver-1.
    Taken down to a segment's edge it is the segment's consistency function,
    G_m(z, t, y) = Phi(z, t -> s_m, eps(z, t, y)).

    Source: SegmentDreamer supplement, section D, with the integral solved: S-(7).
    """
    return ops.ode_step(z, eps, *_each(schedule.level(start), z), *_each(schedule.level(end), z))


def guided_phi(
    schedule: Schedule,
    z: Tensor,
    eps_null: Tensor,
    eps_cond: Tensor,
    guidance_scale: float,
    start: int,
    ends: tuple[int, int],
) -> tuple[Tensor, Tensor, Tensor]:
    """Two steps from the same point with the guided prediction eps_w = eps_null + w (eps_cond - eps_null).

    Returns:
        (Phi(z, start -> ends[0], eps_w), Phi(z, start -> ends[1], eps_w), eps_w), each [B, ...], in one pass.
    """
    here, first, second = (_each(schedule.level(t), z) for t in (start, *ends))
    return ops.cfg_ode_steps(z, eps_null, eps_cond, guidance_scale, here, first, second)
