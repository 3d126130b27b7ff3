"""The executor of PTX (csrc/ptx) on programs written for it: what instructions compute, what is an error."""

from __future__ import annotations

import os
import re
import struct
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import pytest

HEAD = ".version 8.0\n.target sm_80\n.address_size 64\n"


@pytest.fixture(scope="module")
def executor(ptx_module: str) -> ModuleType:
    from sctd.ops._backend import native_ptx

    return native_ptx()


def program(body: str, before: str = "") -> str:
    """A kernel `k` of three arrays: %a, %b, %c are a lane's places in them, 8 bytes apart; %t its thread."""
    return f"""{HEAD}
{before}
.visible .entry k(.param .u64 p0, .param .u64 p1, .param .u64 p2)
{{
    .reg .pred %p<9>;
    .reg .b16 %h<9>;
    .reg .b32 %r<40>;
    .reg .b32 %t;
    .reg .b64 %d<20>;
    .reg .b64 %a, %b, %c, %at;
    mov.u32 %t, %tid.x;
    mul.wide.u32 %at, %t, 8;
    ld.param.u64 %a, [p0];
    ld.param.u64 %b, [p1];
    ld.param.u64 %c, [p2];
    add.s64 %a, %a, %at;
    add.s64 %b, %b, %at;
    add.s64 %c, %c, %at;
{body}
    ret;
}}
"""


def run(
    executor: ModuleType,
    text: str,
    arrays: list[np.ndarray[Any, Any]],
    *,
    threads: int = 32,
    fresh: tuple[int, ...] = (),
) -> None:
    """Execute kernel `k` with addresses of the arrays; those of `fresh` count as unwritten."""
    executor.load(text)
    numbers = [10**9 + i if i in fresh else 0 for i in range(len(arrays))]
    for number in filter(None, numbers):
        executor.forget(number)
    at = [a.ctypes.data for a in arrays]
    executor.know([(p, a.nbytes, n) for p, a, n in zip(at, arrays, numbers, strict=True)])
    executor.launch("k", [1, 1, 1], [threads, 1, 1], struct.pack("3Q", *(at * 3)[:3]))


def lanes(dtype: str, values: Any) -> np.ndarray[Any, Any]:
    """[32] elements, 8 bytes apart, from the start of a sector on."""
    memory = np.zeros(256 + 32, "u1")
    start = -memory.ctypes.data % 32
    out = memory[start : start + 256].view(dtype).reshape(32, -1)
    out[:, 0] = np.resize(np.asarray(values, dtype), 32)
    return out


def compute(executor: ModuleType, opcode: str, kinds: str, *values: Any) -> np.ndarray[Any, Any]:
    """The results of one instruction; `kinds` are numpy's types of result and sources, then =literals."""
    out, *sources = (kind for kind in kinds.split() if not kind.startswith("="))
    literals = [kind[1:] for kind in kinds.split() if kind.startswith("=")]
    load = {2: ("b16", "%h"), 4: ("b32", "%r"), 8: ("b64", "%d")}
    body, names = [], []
    arrays = [lanes(kind, v) for kind, v in zip(sources, values, strict=True)]
    arrays += [lanes("f4", 0)] * (2 - len(arrays))
    for i, kind in enumerate(sources):
        type_, letter = load[np.dtype(kind).itemsize]
        names.append(f"{letter}{i + 1}")
        body.append(f"    ld.global.{type_} {names[-1]}, [{['%a', '%b'][i]}];")
    type_, letter = load[np.dtype(out).itemsize]
    body += [
        f"    {opcode} {letter}0, {', '.join(names + literals)};",
        f"    st.global.{type_} [%c], {letter}0;",
    ]
    result = lanes(out, 0)
    run(executor, program("\n".join(body)), [*arrays, result])
    return result[:, 0]


X = np.array([0.0, -0.0, 1.5, 2.5, -2.5, 0.3, 1e10, -1e10, np.inf, -np.inf, np.nan, 1e-42, 3e38], "f4")
Y = np.array([1.0, -3.0, 0.7, np.inf, np.nan, 2.0, 0.0, -0.0, 7.0, 1e-30, 5.0], "f4")
K = np.array([0, 1, -1, 7, -8, 2**31 - 1, -(2**31), 12345, -54321], "i4")
J = np.array([3, -2, 1, 31, 32, 40, 0x10001, 5], "i4")


def f32(f: Callable[..., Any]) -> Callable[..., Any]:
    """In float64, then rounded once; quietly."""

    def call(*values: Any) -> Any:
        with np.errstate(all="ignore"):
            return f(*(v.astype("f8") for v in values)).astype("f4")

    return call


def bfloat(x: Any) -> Any:
    """Round float32 to the nearest bfloat16, ties to even; finite numbers."""
    bits = x.view("u4").astype("u8")
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype("u2")


FINITE = X[np.isfinite(X)]
BITS = K.view("u4")
INSTRUCTIONS: dict[str, tuple[str, tuple[Any, ...], Callable[..., Any]]] = {
    "add.rn.f32": ("f4 f4 f4", (X, Y), f32(np.add)),
    "mul.f32": ("f4 f4 f4", (X, Y), f32(np.multiply)),
    "div.rn.f32": ("f4 f4 f4", (X, Y), f32(np.divide)),
    "sqrt.rn.f32": ("f4 f4", (X,), f32(np.sqrt)),
    "min.f32": ("f4 f4 f4", (X, Y), np.fmin),
    "max.NaN.f32": ("f4 f4 f4", (X, Y), np.maximum),
    "add.s32": ("i4 i4 i4", (K, J), lambda a, b: (a.astype("i8") + b).astype("u4").view("i4")),
    "mul.hi.s32": ("i4 i4 i4", (K, J), lambda a, b: ((a.astype("i8") * b) >> 32).astype("i4")),
    "mul.wide.s32": ("i8 i4 i4", (K, J), lambda a, b: a.astype("i8") * b),
    "shl.b32": (
        "u4 u4 u4",
        (K.view("u4"), J.view("u4")),
        lambda a, n: (
            np.where(n < 32, a.astype("u8") << np.minimum(n, 32).astype("u8"), 0) & 0xFFFFFFFF
        ).astype("u4"),
    ),
    "shr.s32": ("i4 i4 u4", (K, J.view("u4")), lambda a, n: a >> np.minimum(n, 31).astype("i4")),
    "div.s32": ("i4 i4 i4", (K[:6], J), lambda a, b: np.trunc(a / b).astype("i4")),
    "popc.b32": ("u4 u4", (K.view("u4"),), lambda a: np.array([int(x).bit_count() for x in a], "u4")),
    "lop3.b32": (
        "u4 u4 u4 =0x33333333 =0xCA",
        (BITS, BITS[::-1]),
        lambda a, b: (a & b) | (~a & np.uint32(0x33333333)),
    ),
    "bfi.b32": (
        "u4 u4 u4 =5 =9",
        (BITS, BITS[::-1]),
        lambda a, b: (b & ~np.uint32(511 << 5)) | (a & np.uint32(511)) << np.uint32(5),
    ),
    "cvt.rni.f32.f32": ("f4 f4", (X,), np.rint),
    "cvt.rzi.s32.f32": ("i4 f4", (X[:6],), lambda a: a.astype("i4")),
    "cvt.rmi.f32.f32": ("f4 f4", (X,), np.floor),
    "cvt.rpi.f32.f32": ("f4 f4", (X,), np.ceil),
    "cvt.rn.f32.s32": ("f4 i4", (K,), lambda a: a.astype("f4")),
    "cvt.f64.f32": ("f8 f4", (X,), lambda a: a.astype("f8")),
    "cvt.rn.f16.f32": ("f2 f4", (np.float32([0, 1.5, -2.5, 0.3, 65504, 6e-8]),), lambda a: a.astype("f2")),
    "cvt.f32.f16": ("f4 f2", (np.float16([0, 1.5, -2.5, 0.3, 65504, 6e-8]),), lambda a: a.astype("f4")),
    "cvt.rn.bf16.f32": ("u2 f4", (FINITE,), bfloat),
    "cvt.f32.bf16": ("f4 u2", (bfloat(FINITE),), lambda a: (a.astype("u4") << 16).view("f4")),
    "cvt.s64.s32": ("i8 i4", (K,), lambda a: a.astype("i8")),
    "cvt.u32.u64": ("u4 u8", (np.uint64([1, 2**33 + 5]),), lambda a: a.astype("u4")),
    "ex2.approx.ftz.f32": ("f4 f4", (Y[[0, 1, 2, 5]],), f32(np.exp2)),
}


@pytest.mark.parametrize("opcode", INSTRUCTIONS)
def test_an_instruction_computes_what_it_is_defined_to(opcode: str, executor: ModuleType) -> None:
    kinds, values, expected = INSTRUCTIONS[opcode]
    spread = [np.resize(v, 32) for v in values]
    with np.errstate(all="ignore"):
        want = expected(*spread)
    np.testing.assert_array_equal(compute(executor, opcode, kinds, *values), want)


def test_a_fused_product_is_rounded_once(executor: ModuleType) -> None:
    """x x - round(x x) is the product's rounding error under fma, and 0 without."""
    body = """
    ld.global.f32 %r1, [%a];
    mul.rn.f32 %r2, %r1, %r1;
    neg.f32 %r3, %r2;
    fma.rn.f32 %r4, %r1, %r1, %r3;
    st.global.f32 [%b], %r4;
    sub.rn.f32 %r5, %r2, %r2;
    st.global.f32 [%c], %r5;"""
    x = np.resize(np.float32([0.1, 1 / 3, 2.7]), 32)
    fused, apart = lanes("f4", 7), lanes("f4", 7)
    run(executor, program(body), [lanes("f4", x), fused, apart])
    exact = x.astype("f8") ** 2 - (x * x).astype("f8")
    np.testing.assert_array_equal(fused[:, 0], exact.astype("f4"))
    assert (fused[:, 0] != 0).all()
    assert (apart[:, 0] == 0).all()


SHUFFLES = {
    "up.b32 %r1, %t, 3, 0": lambda n: np.where(n >= 3, n - 3, n),
    "down.b32 %r1, %t, 3, 31": lambda n: np.where(n + 3 < 32, n + 3, n),
    "bfly.b32 %r1, %t, 5, 31": lambda n: n ^ 5,
    "idx.b32 %r1, %t, 9, 31": lambda n: np.full_like(n, 9),
    "idx.b32 %r1, %t, 2, 6175": lambda n: (n & 24) | 2,  # segments of eight lanes
}


@pytest.mark.parametrize("shuffle", SHUFFLES)
def test_shuffles(shuffle: str, executor: ModuleType) -> None:
    out = lanes("u4", 99)
    run(executor, program(f"shfl.sync.{shuffle}, -1;\nst.global.u32 [%a], %r1;"), [out])
    np.testing.assert_array_equal(out[:, 0], SHUFFLES[shuffle](np.arange(32)))


def test_votes_atomics_and_divergent_loops(executor: ModuleType) -> None:
    """Each lane takes as many turns as its number; the warp votes; all lanes add to one word they share."""
    body = """
    .shared .align 4 .b8 sum[4];
    mov.u32 %r1, 0;
    mov.u32 %r2, 0;
    setp.ne.s32 %p0, %t, 0;
    @!%p0 st.shared.u32 [sum], %r1;
    bar.warp.sync -1;
AGAIN:
    setp.ge.u32 %p1, %r1, %t;
    @%p1 bra DONE;
    add.s32 %r2, %r2, %r1;
    add.s32 %r1, %r1, 1;
    bra AGAIN;
DONE:
    setp.gt.u32 %p2, %r2, 100;
    vote.sync.ballot.b32 %r3, %p2, -1;
    atom.shared.add.u32 %r4, [sum], %t;
    bar.sync 0;
    ld.shared.u32 %r5, [sum];
    st.global.v2.u32 [%a], {%r2, %r3};
    st.global.u32 [%b], %r5;"""
    first, second = lanes("u4", 0), lanes("u4", 0)
    for seed in (0, 1, 2, 3):
        executor.schedule(seed)
        first[:] = second[:] = 0
        run(executor, program(body), [first, second])
        turns = np.array([n * (n - 1) // 2 for n in range(32)])
        np.testing.assert_array_equal(first[:, 0], turns)
        assert (first[:, 1] == sum(1 << n for n in range(32) if turns[n] > 100)).all()
        assert (second[:, 0] == sum(range(32))).all()
    executor.schedule()


def test_a_kernel_may_end_without_return_and_branch_to_its_end(executor: ModuleType) -> None:
    out = lanes("u4", 0)
    body = "setp.lt.u32 %p1, %t, 8;\n@%p1 bra END;\nst.global.u32 [%a], 1;\nEND:"
    run(executor, program(body).replace("    ret;\n", ""), [out])
    np.testing.assert_array_equal(out[:, 0], np.arange(32) >= 8)


def test_jitter_stays_within_the_ulps_it_is_allowed(executor: ModuleType) -> None:
    x = np.linspace(-3, 3, 32, dtype="f4")
    exact = np.exp2(x.astype("f8")).astype("f4")
    executor.schedule(0, True)
    found = [compute(executor, "ex2.approx.ftz.f32", "f4 f4", x) for _ in range(4)]
    executor.schedule()
    off = np.abs(np.stack(found).view("i4").astype("i8") - exact.view("i4"))
    assert off.max() == 2
    assert (compute(executor, "ex2.approx.ftz.f32", "f4 f4", x) == exact).all()


def test_counts_are_of_warps_and_sectors(executor: ModuleType) -> None:
    """Eight instructions before the body, three in it, ret; 32 lanes at 8 bytes touch 8 sectors."""
    body = "ld.global.u32 %r1, [%a];\nst.global.u32 [%b], %r1;\nred.global.add.u32 [%c], 1;"
    executor.take_counters()
    run(executor, program(body), [lanes("u4", 1), lanes("u4", 0), lanes("u4", 0)])
    assert executor.take_counters() == {
        "k": {"instructions": 12, "sectors": 24, "atomics": 1, "warps": 1},
    }
    assert executor.take_counters() == {}


SHARED = ".shared .align 4 .b8 s[64];\n"
ERRORS = {
    "an opcode that it does not have": ("    sin.exact.f32 %r1, %r2;", r"line \d+: .*no opcode sin\.exact"),
    "a register of another width": ("    add.s32 %r1, %d1, 3;", r"line \d+: %d1 has 8 bytes .* takes 4"),
    "a register that nobody declared": ("    mov.u32 %r1, %q7;", "unknown operand %q7"),
    "a store behind an array": ("    st.global.u32 [%a+8], 1;", "store of 4 .* 0 bytes behind an array"),
    "a load before all arrays": ("    ld.global.u32 %r1, [%at];", "out of range: load .* no array"),
    "a load across an end": ("    ld.global.v4.u32 {%r1, %r2, %r3, %r4}, [%b];", "misaligned|across the end"),
    "a misaligned store": ("    st.global.u32 [%a+2], 1;", r"misaligned: store .*thread 0, line \d+ \(st"),
    "shared memory's end": (SHARED + "    st.shared.u32 [s+64], 1;", "out of range: .* byte 64 of 64 of"),
    "an unwritten element": ("    ld.global.u32 %r1, [%c];", "reads memory that nothing has written"),
    "an unwritten atomic": ("    red.global.add.u32 [%c], 1;", "adds to memory that nothing has written"),
    "unwritten shared memory": (SHARED + "    ld.shared.u32 %r1, [s];", "reads memory that nothing has"),
    "a lane outside its own mask": ("    bar.warp.sync 65535;", "its mask does not name.*thread 16"),
    "a shuffle from outside the mask": (
        "    setp.lt.u32 %p1, %t, 16;\n    @%p1 shfl.sync.idx.b32 %r1, %t, 20, 31, 65535;",
        "a shuffle reads lane 20, which is not in its mask",
    ),
    "lanes that have left": (
        "    setp.eq.u32 %p1, %t, 5;\n    @%p1 ret;\n    bar.warp.sync -1;",
        "deadlock: waits for lane 5, which has left",
    ),
    "lanes that wait elsewhere": (
        "setp.eq.u32 %p1, %t, 5;\n@%p1 bra L;\nbar.warp.sync -1;\nL:\nvote.sync.any.pred %p2, %p1, -1;",
        r"deadlock: waits for lane \d+, which waits at line \d+",
    ),
    "a barrier that a thread never reaches": (
        "    setp.eq.u32 %p1, %t, 5;\n    @%p1 ret;\n    bar.sync 0;",
        "deadlock: part of the block waits at this barrier, this thread has left.*thread 5",
    ),
    "two barriers": (
        "    setp.lt.u32 %p1, %t, 8;\n    @%p1 bra L;\n    bar.sync 0;\nL:\n    bar.sync 0;",
        "deadlock: part of the block waits at this barrier, this thread at line",
    ),
    "a store to a parameter": (
        "    mov.u64 %d1, p0;\n    cvta.param.u64 %d1, %d1;\n    st.u64 [%d1], %a;",
        "stores to a parameter",
    ),
}


@pytest.mark.parametrize("case", ERRORS)
def test_what_a_gpu_leaves_undefined_is_an_error(case: str, executor: ModuleType) -> None:
    body, message = ERRORS[case]
    text = program(body)
    arrays = [lanes("u4", 1), lanes("u4", 1), lanes("u4", 1)]
    with pytest.raises(RuntimeError) as raised:
        run(executor, text, arrays, fresh=(2,))
    assert re.search(message, str(raised.value)), raised.value


def test_a_part_of_a_vector_may_be_unwritten_and_is_no_number(executor: ModuleType) -> None:
    """A struct's padding is loaded along by compilers; what is then computed with it shows."""
    body = "st.global.f32 [%a], 1.0;\nld.global.v2.f32 {%r1, %r2}, [%a];\nst.global.v2.f32 [%b], {%r1, %r2};"
    body = body.replace("1.0", "0f3F800000")
    out = lanes("f4", 0)
    run(executor, program(body), [lanes("f4", 0), out], fresh=(0,))
    assert (out[:, 0] == 1).all()
    assert np.isnan(out[:, 1]).all()


@pytest.mark.parametrize(
    ("grid", "block", "parameters", "message"),
    [
        ([1, 70000, 1], [32, 1, 1], 24, "65535 in y and z"),
        ([1, 1, 1], [2048, 1, 1], 24, "1 to 1024 threads"),
        ([1, 1, 1], [32, 1, 1], 16, "takes 24 bytes of parameters, got 16"),
    ],
)
def test_a_launch_that_cuda_would_refuse(
    grid: list[int], block: list[int], parameters: int, message: str, executor: ModuleType
) -> None:
    executor.load(program(""))
    with pytest.raises(RuntimeError, match=message):
        executor.launch("k", grid, block, bytes(parameters))
    with pytest.raises(RuntimeError, match="no kernel nobody"):
        executor.launch("nobody", [1, 1, 1], [1, 1, 1], b"")


def test_memory_that_torch_fills_or_frees_counts_as_written(executor: ModuleType) -> None:
    import torch

    from sctd.ops._new_memory import tell, watching

    told: list[list[tuple[int, int, int]]] = []
    forgotten: list[int] = []
    listener = ModuleType("listener")
    vars(listener).update(know=told.append, forget=forgotten.append)
    with watching(listener):
        new, zeros, filled = torch.empty(5), torch.zeros(5), torch.empty(3, 2)
        filled.fill_(1)
        view = new[1:3]
        tell(listener, [new, zeros, filled, view, None])
        numbers = [number for _, _, number in told[-1]]
        assert numbers[0] > 0
        assert numbers == [numbers[0], 0, 0, numbers[0]]
        assert told[-1][3][:2] == (new.data_ptr(), 20), "a view of new memory is looked up in all of it"
        del new, view
        tell(listener, [zeros])
        assert numbers[0] in forgotten
    assert torch.empty is not watching
    tell(listener, [torch.empty(4)])
    assert told[-1][0][2] == 0, "nothing is noted outside"


def test_the_executor_is_built_where_its_variable_says(executor: ModuleType) -> None:
    assert os.environ["SCTD_PTX_MODULE"] == executor.__file__
