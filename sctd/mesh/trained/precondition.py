"""Large steps that keep a mesh smooth: (I + strength L)^-1 on the gradient and on the step.

Nicolet, Jacobson, Jakob 2021, "Large Steps in Inverse Rendering of Geometry". A mesh is optimised in
u = (I + strength L) x, where L is the graph's Laplacian, degree less adjacency. A gradient of x is one of u
once it is multiplied by the inverse, and so is a step of u on its way to x: noise from vertex to vertex
vanishes, and the shape moves as a whole.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from scipy import sparse
from scipy.sparse.linalg import splu
from torch import Tensor


class Preconditioner:
    """The matrix I + strength L of one graph, factored once. Solves on the CPU, in double."""

    def __init__(self, edges: Tensor, count: int, strength: float) -> None:
        """
        Args:
            edges: [E, 2] int64, each once.
            count: of the rows that they join.
            strength: 0 changes nothing; 10 to 50 smooth over some rings of neighbours.

        Raises:
            ValueError: the strength is below 0 or not finite.
        """
        if not 0 <= strength < float("inf"):
            raise ValueError(f"the strength of a preconditioner must be 0 or above; got {strength}")
        ends = edges.cpu().numpy()
        links = sparse.coo_array((np.ones(len(ends)), (ends[:, 0], ends[:, 1])), shape=(count, count))
        links = links + links.T
        degree = sparse.diags_array(np.asarray(links.sum(axis=1)).ravel())
        self._matrix = (sparse.eye_array(count) + strength * (degree - links)).tocsc()
        # Symmetric and positive definite: it needs no pivots, and so fills in less.
        self._factors = splu(
            self._matrix, permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options={"SymmetricMode": True}
        )

    def multiplied(self, x: Tensor) -> Tensor:
        """u = (I + strength L) x of vertices [count, D], without gradient."""
        return _like(self._matrix @ _double(x), x)

    def solved(self, u: Tensor) -> Tensor:
        """x = (I + strength L)^-1 u of [count, D]; differentiable, the same solve backward."""
        return _solve(u, self._factors)


def _solve(u: Tensor, factors: Any) -> Tensor:
    x: Tensor = _Solve.apply(u, factors)  # type: ignore[no-untyped-call]
    return x


class _Solve(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, u: Tensor, factors: Any) -> Tensor:
        ctx.factors = factors
        return _like(factors.solve(_double(u)), u)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        return _solve(grad, ctx.factors), None


def _double(x: Tensor) -> np.ndarray[Any, np.dtype[np.float64]]:
    return np.asarray(x.detach().cpu().double().numpy())


def _like(values: Any, x: Tensor) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(values)).to(x)
