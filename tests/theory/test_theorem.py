"""Theorem 1, S-(9) to S-(16), with a function that satisfies what it supposes: and without.

Supposed is a G_m on the segment [s_m, s_{m+1}] that has one value all along the trajectory of a solver of
step dt. Such a function is known: from t it takes the solver's steps down to s_m. What follows, an error of
O(dt) (s_{m+1} - s_m), is measured in both directions, against an integrator of fourth order; the proof's
recursion is another computation of the same errors.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from mixtures import ducks, exact, predict, ratio, separate, smooth, substeps
from test_convergence import slopes
from torch import Tensor

from sctd.prior.analytic import AnalyticPrior
from sctd.schedule import Schedule
from sctd.solver import add_noise, phi

EDGE, LENGTH = 404, 96
Function = Callable[[Tensor, int], Tensor]
"""G_m: latents and their timestep to latents at s_m."""
both = pytest.mark.parametrize("make", [smooth, separate])


class Segment:
    """A segment of a mixture's trajectories."""

    def __init__(self, prior: AnalyticPrior, length: int = LENGTH, edge: int = EDGE) -> None:
        self.prior, self.length, self.edge = prior, length, edge
        self.schedule = Schedule(prior.traits.alphas_cumprod)
        latents = ducks(prior)
        self.noised = {
            t: add_noise(self.schedule, *latents, t)
            for t in range(edge + length // 4, edge + length + 1, length // 4)
        }
        self.ends = {t: self.true(z, t, edge) for t, z in self.noised.items()}

    def true(self, z: Tensor, t: int, s: int) -> Tensor:
        """z_s on the ODE's trajectory through z_t."""
        solved = exact(self.prior, z, t, ratio(self.prior, s), substeps(t, s))
        return solved * self.prior.traits.alphas_cumprod[s].sqrt()

    def worst(self, g: Function) -> float:
        """sup over t and over latents of |G_m(z_t, t, y) - exact solution at s_m|, S-(9)."""
        return max(norm(g(z, t) - self.ends[t]).max().item() for t, z in self.noised.items())


class Solver:
    """Steps of dt, and at last what is left."""

    def __init__(self, segment: Segment, dt: int, wrong: float = 1.0) -> None:
        self.segment, self.dt, self.wrong = segment, dt, wrong

    def step(self, z: Tensor, t: int, s: int) -> Tensor:
        """One step, of first order unless ``wrong`` is not 1."""
        return phi(self.segment.schedule, z, self.wrong * predict(self.segment.prior, z, t), t, s)

    def solve(self, z: Tensor, t: int, s: int) -> Tensor:
        """z_s on the solver's trajectory through z_t."""
        while t > s:
            below = max(t - self.dt, s)
            z, t = self.step(z, t, below), below
        return z

    def consistent(self, z: Tensor, t: int) -> Tensor:
        """The G_m that the theorem supposes."""
        return self.solve(z, t, self.segment.edge)


def norm(z: Tensor) -> Tensor:
    return z.flatten(1).norm(dim=1)


def inconsistency(solver: Solver, g: Function) -> float:
    """sup |G_m(z_t, t) - G_m(z_s, s)| over all t and s a whole number of steps apart on a trajectory."""
    segment = solver.segment
    top = segment.edge + segment.length
    z, t, found = segment.noised[top], top, []
    while t >= segment.edge:
        found.append(g(z, t))
        z, t = solver.step(z, t, t - solver.dt), t - solver.dt
    return max(norm(a - b).max().item() for a in found for b in found)


def by_dt(segment: Segment, broken: Callable[[Solver], Function] | None = None) -> list[float]:
    """The error for steps that halve."""
    solvers = [Solver(segment, dt) for dt in (48, 24, 12, 6)]
    return [segment.worst(broken(solver) if broken else solver.consistent) for solver in solvers]


def by_length(prior: AnalyticPrior, edge: int = EDGE) -> list[float]:
    """The error for segments that halve, with steps of 4."""
    segments = [Segment(prior, length, edge) for length in (128, 64, 32, 16)]
    return [segment.worst(Solver(segment, 4).consistent) for segment in segments]


@both
def test_what_the_theorem_supposes_holds(make: Callable[[], AnalyticPrior]) -> None:
    """One value along the solver's trajectory, and S-(13) at its end."""
    segment = Segment(make())
    solver = Solver(segment, 12)
    assert inconsistency(solver, solver.consistent) < 1e-13
    z = segment.noised[EDGE + LENGTH]
    assert torch.equal(solver.consistent(z, EDGE), z)


@both
def test_the_error_is_of_the_order_of_dt_times_the_length(make: Callable[[], AnalyticPrior]) -> None:
    prior = make()
    assert slopes(by_dt(Segment(prior))) == pytest.approx([1, 1, 1], abs=0.02), (
        "half the step, half the error"
    )
    found = slopes(by_length(prior))
    assert found[1:] == pytest.approx([1, 1], abs=0.12), "half the length, half the error"
    assert abs(found[2] - 1) < abs(found[1] - 1) < abs(found[0] - 1), "the more so the shorter"


@both
def test_the_proofs_recursion_gives_the_same_errors(make: Callable[[], AnalyticPrior]) -> None:
    """Up a trajectory of the ODE: S-(11) is the error, S-(12) bounds each of its steps, S-(14) their sum."""
    segment, dt = Segment(make()), 12
    solver = Solver(segment, dt)
    top = EDGE + LENGTH
    z, t, trajectory = segment.noised[top], top, []
    while t > EDGE:
        trajectory.append((z, t))
        z, t = segment.true(z, t, t - dt), t - dt
    error = torch.zeros_like(z)  # S-(13)
    bound, lipschitz = torch.zeros(len(z), dtype=z.dtype), 0.0
    for above, t in reversed(trajectory):
        stepped = solver.step(above, t, t - dt)
        change = solver.consistent(stepped, t - dt) - solver.consistent(z, t - dt)
        local = norm(stepped - z)
        lipschitz = max(lipschitz, (norm(change) / local).max().item())
        error, bound, z = error + change, bound + local, above
        direct = solver.consistent(above, t) - segment.true(above, t, EDGE)
        assert norm(error - direct).max() < 1e-5 * norm(direct).max()
        assert (norm(direct) <= lipschitz * bound * (1 + 1e-5)).all()
    assert norm(error).min() > 0.5 * norm(bound[:, None]).min(), "no bound that anything would keep"
    assert lipschitz < 1.2


@both
def test_a_step_of_the_solver_errs_by_the_square_of_its_length(make: Callable[[], AnalyticPrior]) -> None:
    """What the lemma supposes of the solver: O((t - s)^(p + 1)) with p = 1."""
    segment, top = Segment(make()), EDGE + LENGTH
    z = segment.noised[top]
    found = [
        norm(Solver(segment, dt).step(z, top, top - dt) - segment.true(z, top, top - dt)).max().item()
        for dt in (24, 12, 6, 3)
    ]
    assert slopes(found)[-1] == pytest.approx(2, abs=0.1)


def one_step(solver: Solver) -> Function:
    """G_m as an untrained network has it: a single step, however fine the solver is."""
    return lambda z, t: solver.step(z, t, solver.segment.edge)


def drifting(solver: Solver) -> Function:
    """Off by a hundredth at the segment's upper end, and less below."""
    edge, length = solver.segment.edge, solver.segment.length
    return lambda z, t: solver.consistent(z, t) * (1 + 0.01 * (t - edge) / length)


def boundless(solver: Solver) -> Function:
    """Self-consistent, but S-(13) is off by a hundredth."""
    return lambda z, t: 1.01 * solver.consistent(z, t)


def of_a_wrong_solver(solver: Solver) -> Function:
    """Self-consistent for a solver whose local error is of first order only."""
    return Solver(solver.segment, solver.dt, wrong=1.01).consistent


BROKEN = (one_step, drifting, boundless, of_a_wrong_solver)


@both
@pytest.mark.parametrize("broken", BROKEN)
def test_without_what_it_supposes_the_theorem_is_false(
    broken: Callable[[Solver], Function], make: Callable[[], AnalyticPrior]
) -> None:
    segment = Segment(make())
    assert slopes(by_dt(segment, broken))[-1] < 0.5, "finer steps would halve the error"
    solver = Solver(segment, 6)
    assert (inconsistency(solver, broken(solver)) > 1e-4) == (broken is not boundless)


@both
def test_to_the_letter_nothing_satisfies_the_supposition(make: Callable[[], AnalyticPrior]) -> None:
    """Of one step for every t and s it asks two steps to end where one does."""
    segment, top = Segment(make()), EDGE + LENGTH
    solver, z = Solver(segment, LENGTH), segment.noised[top]
    middle = top - LENGTH // 2
    twice = solver.step(solver.step(z, top, middle), middle, EDGE)
    assert norm(twice - solver.step(z, top, EDGE)).min() > 1e-3
