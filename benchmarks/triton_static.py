"""The compiler's figures of the Triton kernels, without a GPU: registers and spills on each architecture.

    python -m benchmarks.triton_static [--json]

Compiles every kernel ahead of time for sm_80, sm_90 and sm_100, as it is launched (float32 latents, network
outputs in float16, both predictions of Stable Diffusion), and reads the resources out of the machine code.
Must run without TRITON_INTERPRET.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.pages.kernels import triton_table
from benchmarks.sass import tool

ARCHS = (80, 90, 100)
REGISTERS_PER_SM = 65536


@dataclass(frozen=True)
class Kernel:
    """One kernel as it is compiled for an architecture; stack in bytes, where spilled registers live.

    ``fused``: comparisons of a fused multiply-add's result, see :func:`fused_comparisons`."""

    name: str
    arch: int
    registers: int
    stack: int
    shared: int
    warps: int
    fused: int


CONSTANTS = {
    "WRONG": 2,
    "CHANNELS": 4,
    "CAMERAS": 4,
    "NORMS": 6,
    "K": 16,
    "NOISE": True,
    "VARIATION": True,
    **{f"HAS_{what}": True for what in ("RGB", "DISPARITY", "SUMS", "SPREAD", "OPAQUE", "COLORS")},
}
"""Compile-time constants by name: all that a kernel can do, four cameras, colours of degree 3."""


def launches() -> Iterator[tuple[str, Any, dict[str, str], dict[str, int], int]]:
    """Name, kernel, type of each argument, compile-time constants, warps: as sctd/ops launches them."""
    from sctd.ops import _triton_activation as activation
    from sctd.ops import _triton_core as core
    from sctd.ops import _triton_images as images
    from sctd.ops import _triton_ode as ode
    from sctd.ops import _triton_scene as scene
    from sctd.ops._triton_residual import residual_kernel
    from sctd.ops._triton_screen import watch_screen_kernel
    from sctd.ops._triton_variation import total_variation_kernel

    small, whole = (core.BLOCK, 4), (core.IMAGE_BLOCK, core.IMAGE_WARPS)
    around = (scene.BLOCK, 4)
    for name, kernel, (block, warps) in (
        ("noise", ode.noise_kernel, small),
        ("ode_step", ode.ode_step_kernel, small),
        ("cfg_ode_steps", ode.cfg_ode_steps_kernel, small),
        ("perp_neg_ode_steps", ode.perp_neg_ode_steps_kernel, whole),
        ("residual", residual_kernel, whole),
        ("total_variation", total_variation_kernel, small),
        ("activate", activation.activate_kernel, around),
        ("activate_backward", activation.activate_backward_kernel, around),
        ("disparity_ranges", images.disparity_ranges_kernel, (scene.IMAGE_BLOCK, scene.IMAGE_WARPS)),
        ("views", images.views_kernel, around),
        ("views_backward", images.views_backward_kernel, around),
        ("watch_screen", watch_screen_kernel, around),
    ):
        types = {argument: _type(argument) for argument in kernel.arg_names}
        kinds = {"epsilon": 0, "v": 1} if "PREDICTION" in types else {"": 0}
        for kind, number in kinds.items():
            constants = {"BLOCK": block, "PREDICTION": number, **CONSTANTS}
            constants = {k: v for k, v in constants.items() if k in types}
            yield ", ".join(filter(None, (name, kind))), kernel, types, constants, warps


def _type(argument: str) -> str:
    if argument in ("BLOCK", "PREDICTION") or argument in CONSTANTS:
        return "constexpr"
    if argument == "radii_ptr":
        return "*i32"
    if argument == "norms_ptr":
        return "*fp64"
    if argument in ("null_ptr", "cond_ptr", "wrong_ptr"):
        return "*fp16"  # network outputs
    if argument.endswith("_ptr"):
        return "*fp32"
    return "fp32" if argument in ("guidance", "down", "across", "half_width", "half_height") else "i32"


def compiled() -> list[Kernel]:
    """All kernels on all architectures."""
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    found = []
    for name, kernel, types, constants, warps in launches():
        for arch in ARCHS:
            made = triton.compile(
                ASTSource(fn=kernel, signature=types, constexprs=constants),
                target=GPUTarget("cuda", arch, 32),
                options={"num_warps": warps},
            )
            registers, stack = resources(made.asm["cubin"])
            fused = fused_comparisons(made.asm["ptx"])
            found.append(Kernel(name, arch, registers, stack, made.metadata.shared, warps, fused))
    return found


def fused_comparisons(ptx: str) -> int:
    """How many comparisons of floats look at a fused multiply-add's result, or at its magnitude.

    No kernel means to: ``a * b - c != 0`` is another question once it is fused, that of the product's
    rounding error.
    """
    made_by: dict[str, list[tuple[str, list[str]]]] = {}  # register => what writes it: opcode, sources
    compared: list[str] = []
    for line in ptx.splitlines():
        found = re.match(r"\s*(?:@!?%p\d+ )?([a-z][\w.]*)\s+(\{[^}]*\}|[^,]+),(.*);", line)
        if found is None:
            continue
        opcode, *operands = found.groups()
        written, sources = (re.findall(r"%\w+", text) for text in operands)
        for register in written:  # several where a pair is taken apart
            made_by.setdefault(register, []).append((opcode, sources))
        if re.match(r"setp.*\.f(16|32|64)$", opcode):
            compared += sources

    def fused(register: str, loop: tuple[str, ...] = ()) -> bool:
        loop = (*loop, register)
        return any(
            opcode.startswith("fma")
            or (
                opcode.startswith(("mov", "abs", "neg"))
                and any(fused(source, loop) for source in sources if source not in loop)
            )
            for opcode, sources in made_by.get(register, [])
        )

    return sum(fused(register) for register in compared)


def resources(cubin: bytes) -> tuple[int, int]:
    """Registers and bytes of stack of a cubin's kernel."""
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(cubin)
        file.flush()
        command = [tool("cuobjdump"), "--dump-resource-usage", file.name]
        text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = re.search(r"REG:(\d+) STACK:(\d+)", text)
    assert found is not None, text
    return int(found[1]), int(found[2])


def broken_budgets(kernels: list[Kernel]) -> list[str]:
    """Kernels that spill, compare a fused product, or exceed their warps' registers; a line each."""
    lines = [f"{k.name} on sm_{k.arch}: {k.stack} bytes of stack" for k in kernels if k.stack]
    lines += [f"{k.name} on sm_{k.arch}: {k.fused} comparisons of fused products" for k in kernels if k.fused]
    return lines + [
        f"{k.name} on sm_{k.arch}: {k.registers} registers for {k.warps} warps"
        for k in kernels
        if k.registers * k.warps * 32 > REGISTERS_PER_SM
    ]


def main() -> None:
    kernels = compiled()
    if "--json" in sys.argv:
        print(json.dumps([asdict(k) for k in kernels]))
    else:
        print("\n".join(triton_table([asdict(k) for k in kernels])))


def in_a_process_of_its_own() -> list[Kernel]:
    """:func:`compiled` from a process that may interpret Triton's kernels itself."""
    environment = {k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"}
    root = Path(__file__).resolve().parents[1]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.triton_static", "--json"],
        cwd=root,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return [Kernel(**row) for row in json.loads(done.stdout)]


if __name__ == "__main__":
    main()
