"""How many variants of each kernel Triton would compile in a run: prints {kernel: variants} as JSON.

    python tests/support/triton_variants.py        (without TRITON_INTERPRET)

The ops launch on CPU tensors; in place of the launch Triton's own binder makes the key by which it finds a
compiled kernel. Everything that changes in a run does: the timesteps, and how many Gaussians there are.
"""

from __future__ import annotations

import json
from collections import defaultdict
from functools import cache
from typing import Any

import torch
from triton.backends.compiler import GPUTarget
from triton.compiler.compiler import make_backend
from triton.runtime import jit

from sctd.config.sctd import SctdSettings
from sctd.ops import _triton_scene as scene
from sctd.ops._diffusion_core import GuidedSteps, SelfStep
from sctd.ops._triton_core import TritonCore
from sctd.schedule import Schedule

BACKEND = make_backend(GPUTarget("cuda", 80, 32))
keys: dict[str, set[str]] = defaultdict(set)


@cache
def binder(kernel: jit.JITFunction[Any]) -> Any:
    return jit.create_function_from_signature(kernel.signature, kernel.params, BACKEND)


def note(self: jit.JITFunction[Any], *args: Any, grid: Any, warmup: bool, **kwargs: Any) -> None:
    _, specialisation, options = binder(self)(*args, **kwargs)
    keys[self.__name__].add(f"{specialisation} {options}")


def diffusion() -> None:
    core, schedule = TritonCore(), Schedule(torch.linspace(0.999, 0.005, 1000, dtype=torch.float64))
    z, wrong = torch.zeros(2, 4, 8, 8), (torch.zeros(2, 2, 4, 8, 8), torch.zeros(2, 2))
    for t in range(100, 105):
        for s in range(50, 55):
            for e in range(20, 25):
                of_t, of_s, of_e = (schedule.levels(k, z) for k in (t, s, e))
                core.noise(z, z, of_t)
                core.ode_step(z, z, (*of_t, *of_s), 0)
                for avoided in (None, wrong):
                    core.cfg_ode_steps(GuidedSteps(z, (z, z), avoided, 7.5, (*of_t, *of_s, *of_e), 0))
                weight = schedule.weights(t, e, SctdSettings(), z)
                core.residual(SelfStep((z, z), (*of_s, *of_e), (z, z), weight, 7.5, 0))


def gaussians() -> None:
    for n in (1, 16, 33):
        scales, opacities, sh0, higher = (torch.zeros(n, *d) for d in ((3,), (), (1, 3), (3, 3)))
        out = scene.activate(scales, opacities, sh0, higher, scales)
        scene.activate_backward((scales, opacities, scales), higher, out)
        kept = (torch.zeros(n), torch.zeros(n), torch.zeros(n))
        radii = torch.zeros(2, n, 2, dtype=torch.int32)
        scene.watch_screen(kept, (torch.zeros(2, n, 2), radii, torch.zeros(6).double()), (1.0, 1.0))


if __name__ == "__main__":
    jit.JITFunction.run = note
    diffusion()
    gaussians()
    print(json.dumps({name: len(found) for name, found in sorted(keys.items())}))
