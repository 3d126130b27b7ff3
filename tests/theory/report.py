"""Prints the numbers of docs/algorithm.md, section 9: python tests/theory/report.py, a minute."""

from __future__ import annotations

from collections.abc import Callable

import test_bounds as bounds
import test_convergence as convergence
import test_modes as modes
import test_targets as targets
import test_theorem as theorem
from mixtures import separate, smooth

from sctd.prior.analytic import AnalyticPrior

MIXTURES: dict[str, Callable[[], AnalyticPrior]] = {"smooth": smooth, "separate": separate}
WAYS = {
    "sctd": ("sctd",),
    "cds, w = 1": ("cds", *modes.CONDITIONAL),
    "cds, w = 1, noisier": ("cds", *modes.CONDITIONAL, "cds.trained=noisier"),
    "cds": ("cds",),
    "cds, noisier": ("cds", "cds.trained=noisier"),
}


def show(name: str, values: list[float], places: str = ".3g") -> None:
    print(f"{name:24}", *(f"{value:>8{places}}" for value in values))


def theorem_1() -> None:
    print("theorem 1: error for dt = 48, 24, 12, 6; for length = 128, 64, 32, 16; then the slopes")
    for name, make in MIXTURES.items():
        segment = theorem.Segment(make())
        for what, found in (("dt", theorem.by_dt(segment)), ("length", theorem.by_length(make()))):
            show(f"{name}, {what}", found + convergence.slopes(found))
        for broken in theorem.BROKEN:
            show(f"  {broken.__name__}", theorem.by_dt(segment, broken))


def two_targets() -> None:
    print(
        "section B:", targets.T, "to", *targets.TARGETS, "; difference of means; misses to the first and last"
    )
    for name, make in MIXTURES.items():
        show(name, targets.differences(make()))
        for own, other in (targets.TARGETS[::2], targets.TARGETS[::-2]):
            show(f"  to {own}", targets.misses(make(), own, other))


def one_step_a_segment() -> None:
    print("sup |G_m - exact|, N_s =", *convergence.COUNTS, "; then the slopes")
    for name, make in MIXTURES.items():
        for low in (20, 212):
            found = [convergence.worst(make(), convergence.segments(low, 980, n)) for n in convergence.COUNTS]
            show(f"{name}, {low}..980", found + convergence.slopes(found))
        for e in (212, 404, 596, 788):
            lengths = [convergence.worst(make(), [e, e + width]) for width in (32, 16, 8, 4)]
            show(f"{name}, slopes from {e}", convergence.slopes(lengths))


def in_a_row() -> None:
    counts = (1, 2, 4, 5, 8, 16, 32)
    print("N_s in a row,", *counts, "; then the last slope")
    for name, make in MIXTURES.items():
        found = convergence.in_a_row(make(), counts)
        show(name, found + convergence.slopes(found)[-1:])


def order_of_bounds() -> None:
    print("error over alpha_e: sup, mean")
    for name, make in MIXTURES.items():
        for method, (top, mean) in bounds.measure(make()).items():
            show(f"{name}, {method}", [top, mean])


def where_gradients_lead() -> None:
    print("distance to the conditional mode; nearest component; cosine of end and start, seen from the mode")
    for spread in (0.02, 0.2, 0.5):
        prior = modes.mixture(spread)
        mode = prior._means[modes.MODE]
        begin = (modes.start() - mode).flatten(1)
        for name, way in WAYS.items():
            end = modes.descend(prior, *way)
            table = modes.distances(prior, end)
            cosine = ((end - mode).flatten(1) * begin).sum(1) / (table[:, modes.MODE] * begin.norm(dim=1))
            show(f"{spread}, {name}", [*table[:, modes.MODE].tolist(), *table.argmin(1).tolist()], ".3g")
            show("", cosine.tolist())


if __name__ == "__main__":
    theorem_1()
    two_targets()
    one_step_a_segment()
    in_a_row()
    order_of_bounds()
    where_gradients_lead()
