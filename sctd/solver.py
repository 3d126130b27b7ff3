"""Step 6 of 9: Phi, the first-order step along the probability-flow ODE, between timesteps.

The arithmetic is in :mod:`sctd.ops`; here timesteps become noise levels, the same for the whole batch. A
network's output may be given as it is, with the name of what it predicts (:attr:`.Traits.prediction`).
"""

from __future__ import annotations

from torch import Tensor

from sctd import ops
from sctd.ops.reference import clean_and_noise
from sctd.schedule import Schedule


def add_noise(schedule: Schedule, z0: Tensor, noise: Tensor, t: int) -> Tensor:
    """z_t = alpha_t z0 + sigma_t noise, all [B, ...]."""
    return ops.noise(z0, noise, *schedule.levels(t, z0))


def clean(schedule: Schedule, z: Tensor, out: Tensor, t: int, prediction: str = "epsilon") -> Tensor:
    """F(z, t, y) = (z - sigma_t eps) / alpha_t, the clean latents that a network's output means; [B, ...].

    Source: SegmentDreamer supplement, S-(1).
    """
    return clean_and_noise(z, out.to(z), schedule.levels(t, z), prediction)[0]


def noise_in(schedule: Schedule, z: Tensor, out: Tensor, t: int, prediction: str = "epsilon") -> Tensor:
    """eps(z, t, y), the noise that a network's output means, in the precision of z; [B, ...]."""
    return clean_and_noise(z, out.to(z), schedule.levels(t, z), prediction)[1]


def phi(
    schedule: Schedule, z: Tensor, out: Tensor, start: int, end: int, prediction: str = "epsilon"
) -> Tensor:
    """Phi(z, start -> end, eps): one first-order step of the PF-ODE, in either direction of time; [B, ...].

    z_end = alpha_end (z - sigma_start eps) / alpha_start + sigma_end eps: DDIM with eta 0, or DPM-Solver-1.
    Taken down to a segment's edge it is the segment's consistency function,
    G_m(z, t, y) = Phi(z, t -> s_m, eps(z, t, y)).

    Args:
        out: the network's output at z, [B, ...]; eps where ``prediction`` is "epsilon".

    Source: SegmentDreamer supplement, section D, with the integral solved: S-(7).
    """
    levels = (*schedule.levels(start, z), *schedule.levels(end, z))
    return ops.ode_step(z, out, *levels, prediction=prediction)


def guided_phi(
    schedule: Schedule,
    z: Tensor,
    out_null: Tensor,
    out_cond: Tensor,
    guidance_scale: float,
    start: int,
    ends: tuple[int, int],
    *,
    wrong: tuple[Tensor, Tensor] | None = None,
    prediction: str = "epsilon",
) -> tuple[Tensor, Tensor, Tensor]:
    """Two steps from the same point with the guided output out_null + w (out_cond - out_null), in one pass.

    Args:
        wrong: Perp-Neg's outputs [B, K, ...] and weights [B, K]; see :func:`sctd.ops.cfg_ode_steps`.

    Returns:
        (the step start -> ends[0], the step start -> ends[1], the guided output), each [B, ...].
    """
    here, first, second = (schedule.levels(t, z) for t in (start, *ends))
    return ops.cfg_ode_steps(
        z, out_null, out_cond, guidance_scale, here, first, second, wrong=wrong, prediction=prediction
    )
