"""``sctd bench triangles``: the triangle rasterizer on a sphere of coloured vertices, beside its peers.

The picture is the sphere's from the front, orthographic; the loss is sum(picture * W), W of waves as
long as the picture: of losses that change from pixel to pixel, edges have no gradient to compare.
The gradient is that of the vertices, edges included, and of the colours. Contenders
start from vertices on the screen: a peer's projection is not timed, nor is its search for silhouettes.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from typing import Any

import torch
from torch import Tensor

import sctd
from sctd.bench.machine import facts
from sctd.bench.options import Say
from sctd.bench.report import Row
from sctd.bench.timing import Plan, interleave
from sctd.bench.workload import Cell
from sctd.errors import InputError
from sctd.ops import triangles

MEASURES = ("forward", "forward+backward")


@dataclass(frozen=True)
class TriangleOptions:
    """Options of ``sctd bench triangles``; a cell's count is that of faces."""

    cells: Sequence[Cell]
    against: Sequence[str] = ()
    threads: int | None = None
    plan: Plan = field(default_factory=Plan)


@dataclass(frozen=True)
class Workload:
    """A sphere of radius 0.42 of the picture's edge, at its middle."""

    screen: Tensor
    """[V, 3]: pixels, y down, and the depth, 1 to 2; float64."""
    colors: Tensor
    """[V, 3], smooth over the sphere; float64."""
    faces: Tensor
    """[F, 3] int64, clockwise where they are seen from the front."""
    size: int
    weight: Tensor
    """[H, W, 3]: the loss's gradient on the picture; float64."""

    def clip(self) -> Tensor:
        """The vertices in clip space, [1, V, 4]; float64."""
        x, y, z = self.screen.unbind(1)
        return torch.stack([2 * x / self.size - 1, 2 * y / self.size - 1, z - 1.5, torch.ones_like(x)], 1)[
            None
        ]


def make_workload(count: int, size: int) -> Workload:
    """About ``count`` faces, never fewer than 16."""
    rings = max(3, round((count / 4) ** 0.5) + 1)
    sectors = max(4, round(count / (2 * (rings - 1))))
    theta = torch.linspace(0, torch.pi, rings + 1, dtype=torch.float64)[1:-1, None]
    phi = torch.arange(sectors, dtype=torch.float64)[None] * (2 * torch.pi / sectors) + 0.1
    ring = torch.stack(
        [theta.sin() * phi.cos(), -theta.cos().expand(-1, sectors), theta.sin() * phi.sin()], -1
    )
    poles = torch.tensor([[0.0, -1, 0], [0, 1, 0]], dtype=torch.float64)
    points = torch.cat([ring.reshape(-1, 3), poles])
    number = torch.arange((rings - 1) * sectors).reshape(rings - 1, sectors)
    top, bottom = len(points) - 2, len(points) - 1
    a, b = number[:-1], number[1:]
    parts = [torch.stack([a, b, a.roll(-1, 1)], -1), torch.stack([a.roll(-1, 1), b, b.roll(-1, 1)], -1)]
    first, last = number[0], number[-1]
    parts += [torch.stack([torch.full_like(first, top), first, first.roll(-1)], -1)]
    parts += [torch.stack([torch.full_like(last, bottom), last.roll(-1), last], -1)]
    faces = torch.cat([part.reshape(-1, 3) for part in parts])
    screen = torch.cat([size * (0.5 + 0.42 * points[:, :2]) + 0.137, 1.5 + 0.5 * points[:, 2:]], 1)
    nearest = screen[faces][..., 2].mean(1).argmin()
    if _turn(screen[faces[nearest : nearest + 1]]) < 0:
        faces = faces.flip(1)
    at = (torch.arange(size, dtype=torch.float64) + 0.5) / size
    waves = [(a * at[:, None] + b * at[None] + c).sin() for a, b, c in ((3, 1, 0), (-4, 2, 1), (1, 5, 2))]
    weight = torch.stack(waves, -1)
    return Workload(screen, 0.5 + 0.4 * points, faces, size, weight)


def _turn(corners: Tensor) -> Tensor:
    """Twice the area of faces [F, 3, 3] on the screen, y down: positive where they turn clockwise."""
    (ax, ay), (bx, by), (cx, cy) = (corners[:, k, :2].unbind(1) for k in range(3))
    return (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)


Result = tuple[Tensor, Tensor, Tensor]
"""Picture [H, W, 3], gradients of the screen positions [V, 2] and of the colours [V, 3]."""


@dataclass(frozen=True)
class Contender:
    """Calls to be timed, and what they give."""

    name: str
    version: str
    forward: Callable[[], object]
    both: Callable[[], object]
    result: Callable[[], Result]


def ours(
    work: Workload, dtype: torch.dtype = torch.float32, device: str = "cpu", backend: str = "auto"
) -> Contender:
    """sctd's ops without a texture; the topology is made once, as in a training."""
    mesh = triangles.topology(work.faces.to(device), len(work.screen))
    vertices = work.clip().to(device, dtype).requires_grad_()
    colors = work.colors.to(device, dtype, copy=True).requires_grad_()
    weight = work.weight[None].to(device, dtype)

    def picture() -> Tensor:
        drawn = triangles.rasterize(vertices, mesh, work.size, work.size, backend=backend)
        drawn_colors = triangles.interpolate(colors, vertices, mesh, drawn, backend=backend)
        return triangles.edge_gradient(drawn_colors, vertices, mesh, drawn, backend=backend)

    def both() -> Tensor:
        vertices.grad = colors.grad = None
        image = picture()
        image.backward(weight)
        return image.detach()

    def result() -> Result:
        image = both()
        assert vertices.grad is not None
        assert colors.grad is not None
        moved = vertices.grad[0, :, :2].double() * (2 / work.size)
        return image[0].double().cpu(), moved.cpu(), colors.grad.double().cpu()

    return Contender("sctd", sctd.__version__, torch.no_grad()(picture), both, result)


def _deodr(work: Workload) -> Contender:
    if importlib.util.find_spec("deodr") is None:
        raise InputError("the peer deodr is not installed; run `pip install DEODR`")
    from deodr import differentiable_renderer as theirs

    numbers = {name: getattr(work, name).numpy() for name in ("screen", "colors", "faces", "weight")}
    faces = numbers["faces"].astype("uint32")
    vertices, size = len(work.screen), work.size
    none = torch.zeros(0, 0, dtype=torch.float64).numpy()
    scene = theirs.Scene2DBase(
        faces=faces,
        faces_uv=faces,
        ij=numbers["screen"][:, :2] - 0.5,  # its pixel centres are whole numbers
        depths=numbers["screen"][:, 2].copy(),
        textured=torch.zeros(len(faces), dtype=torch.bool).numpy(),
        shaded=torch.zeros(len(faces), dtype=torch.bool).numpy(),
        uv=torch.zeros(vertices, 2, dtype=torch.float64).numpy(),
        shade=torch.zeros(vertices, dtype=torch.float64).numpy(),
        colors=numbers["colors"],
        edgeflags=silhouettes(work).numpy(),
        height=size,
        width=size,
        nb_colors=3,
        texture=none,
        background_color=torch.zeros(3, dtype=torch.float64).numpy(),
        clockwise=True,
    )

    def forward() -> tuple[Any, Any]:
        picture = torch.zeros(size, size, 3, dtype=torch.float64).numpy()
        depth = torch.zeros(size, size, dtype=torch.float64).numpy()
        theirs.renderScene(scene, 1.0, picture, depth, check_valid=False)
        return picture, depth

    def both() -> Any:
        picture, depth = forward()
        for name in ("uv", "ij", "shade", "colors"):
            setattr(scene, f"{name}_b", 0 * getattr(scene, name))
        scene.texture_b = none
        weight = numbers["weight"].copy()  # it is written to
        theirs.renderSceneB(scene, 1.0, picture.copy(), depth, weight, check_valid=False)
        return picture

    def result() -> Result:
        picture = both()
        return tuple(torch.from_numpy(t).clone() for t in (picture, scene.ij_b, scene.colors_b))  # type: ignore[return-value]

    return Contender("deodr", metadata.version("DEODR"), forward, both, result)


PEERS: dict[str, Callable[[Workload], Contender]] = {"deodr": _deodr}


def silhouettes(work: Workload) -> Tensor:
    """[F, 3] bool: at edge k, from corner k to the next, a face that is seen meets one that is not."""
    front = _turn(work.screen[work.faces]) > 0
    edges = torch.stack([work.faces, work.faces.roll(-1, 1)], -1).sort(-1).values
    keys = edges[..., 0] * len(work.screen) + edges[..., 1]
    _, inverse = keys.unique(return_inverse=True)
    seen = torch.zeros(int(inverse.max()) + 1, dtype=torch.long)
    seen.index_add_(0, inverse.flatten(), front[:, None].expand(-1, 3).flatten().long())
    return front[:, None] & (seen[inverse] == 1)


def errors(found: Result, truth: Result, work: Workload) -> dict[str, float]:
    """Against float64: the largest of a channel, a pixel and more from the outline; and |g - g64| / |g64| of
    the colours and of the sphere's shift, size and shear, sums over the positions.

    A peer that blurs the outline differs by what the blur is; and which vertices of the outline's small faces
    get an edge's gradient is no question with one answer.
    """
    shown = (truth[0].sum(-1) > 0).double()[None, None]
    most, least = (sign * torch.nn.functional.max_pool2d(sign * shown, 3, 1, 1) for sign in (1, -1))
    difference = (found[0] - truth[0]).abs().amax(-1).masked_fill((most != least)[0, 0], 0)
    middle = work.screen[:, :2] / work.size - 0.5
    modes = torch.cat([torch.ones_like(middle[:, :1]), middle], 1).T
    moved, want = (modes @ result[1] for result in (found, truth))
    return {
        "image_error": float(difference.max()),
        "position_error": float((moved - want).norm() / want.norm()),
        "color_error": float((found[2] - truth[2]).norm() / truth[2].norm()),
    }


ALLOWED = {"sctd": (1e-4, 1e-2), "deodr": (1e-3, float("inf"))}
"""Of the image, and of the colours' gradient. In float32 a few pixels of small faces show the neighbour.
DEODR's gradient is reported and not judged: it blurs the outline, so it differentiates another picture."""


def run(options: TriangleOptions, say: Say) -> list[Row]:
    """All cells; contenders are checked, then timed in turn.

    Raises:
        InputError: an unknown peer, or one that is not installed.
    """
    for name in options.against:
        if name not in PEERS:
            raise InputError(f"--against knows {', '.join(PEERS)}; got {name!r}")
    machine = facts(options.threads)
    rows: list[Row] = []
    for cell in options.cells:
        say(f"{cell.name}: checking")
        work = make_workload(cell.count, cell.size)
        truth = ours(work, torch.float64).result()
        contenders = [ours(work), *(PEERS[name](work) for name in options.against)]
        found = {c.name: errors(c.result(), truth, work) for c in contenders}
        right = {c.name: _right(c.name, found[c.name]) for c in contenders}
        for measure in MEASURES:
            say(f"{cell.name}: timing {measure}")
            timed = [c for c in contenders if right[c.name]]
            calls = {c.name: c.forward if measure == "forward" else c.both for c in timed}
            half = Plan(options.plan.seconds / 2, options.plan.repeats, options.plan.cache)
            measured = interleave(calls, half) if calls else None
            for c in contenders:
                values = {**found[c.name], "faces": float(len(work.faces))}
                row = _row(c, cell, measure, machine, options, values)
                if measured is not None and right[c.name]:
                    samples = measured.samples[c.name]
                    busy = {**row.values, "others_cores": measured.others_cores}
                    times = {"wall_ms": samples.wall_ms, "cpu_ms": samples.cpu_ms, "values": busy}
                    row = row.model_copy(update={"status": "ok", "note": "", **times})
                rows.append(row)
    return rows


def _right(name: str, found: dict[str, float]) -> bool:
    image, gradient = ALLOWED[name]
    return found["image_error"] <= image and found["color_error"] <= gradient


def _row(
    c: Contender, cell: Cell, measure: str, machine: dict[str, Any], options: TriangleOptions, values: Any
) -> Row:
    image, gradient = ALLOWED[c.name]
    return Row(
        suite="triangles",
        cell=cell.name,
        measure=measure,
        provider=c.name,
        version=c.version,
        device_class="cpu",
        settings={
            "backend": "cpu" if c.name == "sctd" else c.name,
            "native_threads": machine["native_threads"],
            "torch_threads": machine["torch_threads"],
            "cache": options.plan.describe(),
        },
        machine=machine,
        values={k: v if v < float("inf") else None for k, v in values.items()},
        status="wrong",
        note=f"image error {values['image_error']:.1e}, at most {image:.0e}; "
        f"gradient error {values['color_error']:.1e}, at most {gradient:.0e}",
    )
