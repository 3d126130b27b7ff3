"""Bugs planted in the formulas of the triangle ops: the tests beside this file find each of them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from emulation import CSRC, simt_build

# (kernel file, header, what stands there, what is planted instead, the test that fails)
Bug = tuple[str, str, str, str, str]
PLANTED: dict[str, Bug] = {
    "top edges belong to nobody": (
        *("triangle_draw.cu", "coverage.h", "a > 0 || (a == 0 && b > 0)", "a > 0"),
        "test_triangles.py::test_a_rectangle_between_pixel_centres_and_on_them",
    ),
    "every edge belongs to both": (
        *("triangle_draw.cu", "coverage.h", "a > 0 || (a == 0 && b > 0)", "a != 0 || b != 0"),
        "test_triangles.py::test_every_pixel_of_a_closed_fan_is_covered_once",
    ),
    "faces of one surface are apart": (
        *("triangle_shade.cu", "edges.h"),
        *("(other >= 0 && meet(a.index + 3 * face, a.index + 3 * other))", "false"),
        "test_triangles_gradients.py::test_faces_of_one_surface_have_no_edge_between_them",
    ),
    "a derivative of the weights with the wrong sign": (
        *("triangle_shade.cu", "triangle.h"),
        *("v[l] * g_e[m] - v[m] * g_e[l]", "v[l] * g_e[m] + v[m] * g_e[l]"),
        "test_triangles_gradients.py::test_gradients_are_the_definition_s",
    ),
    "weights that are not perspective": (
        *("triangle_draw.cu", "triangle.h", "u[k] = c[k].x - px * c[k].w", "u[k] = c[k].x / c[k].w - px"),
        "test_triangles.py::test_the_same_bits_as_the_definition",
    ),
}


def planted(folder: Path, kernel: str, header: str, old: str, new: str) -> Path:
    """The emulation with a bug in one header, as one kernel file sees it."""
    (folder / "cuda").mkdir()
    (folder / "include").mkdir()
    for path in (CSRC / "include").glob("*.h"):  # links: one common.h, however it is reached
        (folder / "include" / path.name).symlink_to(path)
    text = (CSRC / "include" / header).read_text()
    assert text.count(old) == 1, f"{header} has {text.count(old)} times {old!r}"
    (folder / "include" / header).unlink()
    (folder / "include" / header).write_text(text.replace(old, new))
    source = folder / "cuda" / kernel
    source.write_text((CSRC / "cuda" / kernel).read_text())
    module: Path = simt_build().build("plain", source, folder / "build")
    return module


@pytest.mark.parametrize("bug", PLANTED)
def test_planted_bug_is_found(bug: str, tmp_path: Path) -> None:
    """In a process of its own: one process loads one module of a name."""
    *where, test = PLANTED[bug]
    module = planted(tmp_path, *where)
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "-k", "cuda-simt"),
            f"tests/ops/{test}",
        ],
        env={**os.environ, "SCTD_SIMT_MODULE": str(module), "SCTD_REQUIRE_BACKENDS": ""},
        cwd=CSRC.parent,
        text=True,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 1, done.stdout[-2000:] + done.stderr[-2000:]
    assert "AssertionError" in done.stdout or "assert " in done.stdout, done.stdout[-2000:]
    assert "1 failed" in done.stdout
