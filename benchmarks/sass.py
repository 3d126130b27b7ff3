"""Counts the machine instructions of a kernel's innermost loop, from a cubin; no GPU needed.

    python benchmarks/sass.py FILE.cubin [NAME]

cuobjdump (from PATH, or the nvidia-cuda-cuobjdump wheel) disassembles; the control-flow graph gives the
natural loops; of those that evaluate an exponential (MUFU.EX2: one for each pixel and Gaussian) the smallest
is the blend loop. All its instructions count, whichever path a warp takes.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import sysconfig
from collections import Counter, deque
from dataclasses import dataclass
from pathlib import Path

Instructions = list[tuple[int, str]]  # address, text with its predicate

# First match wins: beginning of the opcode => kind.
KINDS = (
    ("MUFU.EX2", "exp2"),
    ("MUFU", "other special"),
    ("SHFL", "shuffle"),
    ("LDS", "shared load"),
    ("STS", "shared store"),
    ("LDG", "global load"),
    ("STG", "global store"),
    ("RED", "atomic"),
    ("ATOM", "atomic"),
    ("LDL", "spill"),
    ("STL", "spill"),
    ("HFMA2.MMA", "integer and other"),  # the compiler's way to load a constant
    *((name, "float32") for name in ("FFMA", "FADD", "FMUL", "FMNMX", "FSEL", "FSETP", "FSET")),
    *(
        (name, "control")
        for name in ("BRA", "BSSY", "BSYNC", "BREAK", "WARPSYNC", "EXIT", "VOTE", "CALL", "RET")
    ),
)


@dataclass(frozen=True)
class Loop:
    """The innermost loop with an exponential. ``pairs`` is the number of exponentials: pixel-Gaussian pairs a
    turn and lane; ``shortest`` the instructions of its shortest turn, of a footprint that is not drawn."""

    address: int
    kinds: Counter[str]
    shortest: int

    @property
    def instructions(self) -> int:
        return sum(self.kinds.values())

    @property
    def pairs(self) -> int:
        return self.kinds["exp2"]

    @property
    def per_pair(self) -> float:
        return self.instructions / self.pairs


def tool(name: str) -> str:
    """A program of CUDA's: from PATH, or from its wheel."""
    wheels = sorted(Path(sysconfig.get_paths()["purelib"]).glob(f"nvidia/*/bin/{name}"))
    found = shutil.which(name) or (str(wheels[-1]) if wheels else None)
    if found is None:
        raise SystemExit(f"{name} is missing: pip install nvidia-cuda-{name} nvidia-cuda-nvdisasm")
    return found


def disassemble(cubin: Path) -> dict[str, Instructions]:
    """Mangled kernel name => its instructions."""
    cuobjdump = tool("cuobjdump")
    folder = str(Path(tool("nvdisasm")).parent)
    text = subprocess.run(
        [cuobjdump, "-sass", str(cubin)],
        capture_output=True,
        text=True,
        check=True,
        env={"PATH": f"{folder}:/usr/bin:/bin"},
    ).stdout
    kernels: dict[str, Instructions] = {}
    current: Instructions = []
    for line in text.splitlines():
        if name := re.match(r"\s*Function : (\S+)", line):
            current = kernels.setdefault(name[1], [])
        elif found := re.match(r"\s*/\*([0-9a-f]{4,})\*/\s+(.*?);", line):
            current.append((int(found[1], 16), found[2].strip()))
    return kernels


def opcode(text: str) -> str:
    """The instruction without its predicate and operands."""
    return re.sub(r"^@!?U?P\w+\s+", "", text).split()[0]


def kind(text: str) -> str:
    """The row of KINDS that an instruction belongs to."""
    name = opcode(text)
    return next((k for beginning, k in KINDS if name.startswith(beginning)), "integer and other")


def _target(text: str) -> int | None:
    found = re.search(r"0x([0-9a-f]+)\s*$", text.replace("`(", "").replace(")", ""))
    return int(found[1], 16) if found else None


def successors(code: Instructions) -> list[list[int]]:
    """Indices that may follow each instruction. BSYNC continues with the next one: the branches of a
    warp meet there again."""
    index = {address: i for i, (address, _) in enumerate(code)}
    follow: list[list[int]] = []
    for i, (_, text) in enumerate(code):
        name, conditional = opcode(text), text.startswith("@")
        falls, jumps = True, False
        if name.startswith("BRA"):
            operand = re.search(r"BRA\S*\s+!?U?P\d|\.DIV|\.CONV", text)
            falls, jumps = conditional or operand is not None, True
        elif name.startswith("CALL"):  # of a subroutine, or the compiler's way to leave a loop for good
            jumps = True
        elif name.startswith(("EXIT", "RET", "BRX")):
            falls = conditional
        target = _target(text) if jumps else None
        ways = [index[target]] if target in index else []
        if falls and i + 1 < len(code):
            ways.append(i + 1)
        follow.append(ways)
    return follow


def natural_loops(follow: list[list[int]]) -> dict[int, set[int]]:
    """Head => body, as indices of instructions; loops of one head are one."""
    before: list[list[int]] = [[] for _ in follow]
    for i, ways in enumerate(follow):
        for way in ways:
            before[way].append(i)
    open_, done, back = {0}, set(), []
    stack = [(0, iter(follow[0]))]
    while stack:
        node, ways = stack[-1]
        for way in ways:
            if way in open_:
                back.append((node, way))
            elif way not in done:
                open_.add(way)
                stack.append((way, iter(follow[way])))
                break
        else:
            open_.discard(node)
            done.add(node)
            stack.pop()
    loops: dict[int, set[int]] = {}
    for tail, head in back:
        body, todo = loops.setdefault(head, {head}), [tail]
        while todo:
            node = todo.pop()
            if node not in body:
                body.add(node)
                todo += before[node]
    return loops


def distances(
    code: Instructions, follow: list[list[int]], start: int, within: set[int] | None = None
) -> dict[int, int]:
    """Fewest instructions from one, itself included, up to every other one that can be reached; NOPs are
    none."""
    cost = [int(opcode(text) != "NOP") for _, text in code]
    found, edge = {start: cost[start]}, deque([start])
    while edge:
        node = edge.popleft()
        for way in follow[node]:
            if within is not None and way not in within:
                continue
            steps = found[node] + cost[way]
            if steps < found.get(way, steps + 1):
                found[way] = steps
                (edge.append if cost[way] else edge.appendleft)(way)
    return found


def blend_loop(code: Instructions) -> Loop | None:
    """The smallest loop with an exponential; None without one."""
    found, follow = [], successors(code)
    for head, body in natural_loops(follow).items():
        kinds = Counter(kind(code[i][1]) for i in body if opcode(code[i][1]) != "NOP")
        if kinds["exp2"]:
            reached = distances(code, follow, head, body)
            shortest = min(steps for i, steps in reached.items() if head in follow[i])
            found.append(Loop(code[head][0], kinds, shortest))
    return min(found, key=lambda loop: loop.instructions, default=None)


def working_path(code: Instructions) -> int:
    """Instructions that a warp cannot do without when it reaches the store that is furthest from the start:
    the shortest way there and out, loops entered as rarely as can be."""
    follow = successors(code)
    from_start = distances(code, follow, 0)
    most = 0
    for i, (_, text) in enumerate(code):
        if i in from_start and opcode(text).startswith(("STG", "RED", "ATOM")):
            onward = distances(code, follow, i)
            ends = [steps for j, steps in onward.items() if opcode(code[j][1]).startswith("EXIT")]
            most = max(most, from_start[i] + min(ends) - 1)
    return most


def main() -> None:
    cubin, wanted = Path(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else ""
    for name, code in disassemble(cubin).items():
        loop = blend_loop(code)
        if wanted in name and loop is not None:
            print(f"{name}: {loop.instructions} instructions, {loop.pairs} pairs, {loop.per_pair:.1f} a pair")
            print("   " + ", ".join(f"{k} {n}" for k, n in loop.kinds.most_common()))


if __name__ == "__main__":
    main()
