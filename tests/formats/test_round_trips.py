"""An asset is written and read back: numbers within a step of its format, and pictures that look alike."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest
import torch
from small_assets import lopsided

from sctd.cameras import orbit_cameras
from sctd.errors import InputError
from sctd.export.table import EXPORTERS, Options, export
from sctd.formats.table import READERS, WRITERS, read_gaussians
from sctd.gaussians import SH_C0, Gaussians
from sctd.render import render


@dataclass(frozen=True)
class Steps:
    """How far a number may be from what was written: half a step, and float32's rounding."""

    means: float = 1e-7
    scales: float = 1e-6
    quats: float = 1e-6
    opacity: float = 1e-6
    color: float = 1e-6
    rest: float | None = 1e-6
    """None: the format has none."""
    psnr: float = 45.0


EXACT = Steps(0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
# The largest component follows from the others, of which none is larger: it is as far off as their sum.
SPZ = Steps(2**-17, 1 / 32, 3 * 0.5 * 0.5**0.5 / 511, 0.5 / 255, SH_C0 * 0.5 / (255 * 0.15), 1 / 256, 35.0)
# The asset is within 2 of the origin, its logarithm's range below 2, by expm1's slope of at most 3. Codebooks
# have 128 even steps at first: over 6 of scales, 6 of coefficients of degree 0, 2 of the others.
SOG = Steps(3 / 65535, 3 / 127, 3 * 0.5 * 2**0.5 / 255, 0.5 / 255, SH_C0 * 3 / 127, 1 / 127, 35.0)
# Rounding of each component to 1/128 turns and shortens a rotation; here its length is 1 again.
SPLAT = Steps(0.0, 1e-6, 2 * 0.5 / 128 * 2, 0.5 / 255, 0.5 / 255, None, 35.0)
FORMATS = {
    ".ply": (EXACT, Options()),
    ".npz": (EXACT, Options()),
    ".glb": (Steps(), Options()),
    "3.spz": (SPZ, Options(spz_version=3)),
    "4.spz": (SPZ, Options(spz_version=4)),
    ".sog": (SOG, Options()),
    ".splat": (SPLAT, Options()),
}


def no_notes(text: str) -> None:
    raise AssertionError(text)


def in_order_of(written: Gaussians, found: Gaussians) -> Gaussians:
    """A .splat has its Gaussians in an order of its own."""
    nearest = torch.cdist(written.means, found.means).argmin(dim=1)
    assert len(set(nearest.tolist())) == len(written)
    return Gaussians(**{name: p[nearest] for name, p in found.parameters().items()})


def largest(a: torch.Tensor, b: torch.Tensor) -> float:
    return float((a.double() - b.double()).abs().max()) if a.numel() else 0.0


def psnr(a: Gaussians, b: Gaussians) -> float:
    """Of pictures from five sides, on white."""
    look = partial(render, cameras=orbit_cameras(5, 20.0, 3.0, 40.0, 96), background=torch.ones(5, 3))
    error = (look(a).rgb.clamp(0, 1) - look(b).rgb.clamp(0, 1)).square().mean()
    return float("inf") if error == 0 else float(-10 * torch.log10(error))


@pytest.mark.parametrize("degree", [0, 1, 2, 3])
@pytest.mark.parametrize("name", FORMATS)
def test_numbers_and_pictures_come_back(tmp_path: Path, name: str, degree: int) -> None:
    steps, options = FORMATS[name]
    written = lopsided(degree, 300)
    export(tmp_path / f"a{name}", written, options)
    found = in_order_of(written, read_gaussians(tmp_path / f"a{name}", say=no_notes))
    quats = torch.nn.functional.normalize(found.quats, dim=1) if name == ".splat" else found.quats
    quats = quats * torch.sign((quats * written.quats).sum(dim=1, keepdim=True))
    colors = [(0.5 + SH_C0 * g.sh0).clamp(0, 1) for g in (written, found)]
    assert largest(written.means, found.means) <= steps.means
    assert largest(written.scales, found.scales) <= steps.scales
    assert largest(written.quats, quats) <= steps.quats
    assert largest(written.opacities.sigmoid(), found.opacities.sigmoid()) <= steps.opacity + 1e-7
    assert largest(*colors) <= steps.color + 1e-7
    if steps.rest is None:
        assert found.sh_degree == 0
        written = written.with_sh_degree(0)
    else:
        assert largest(written.shN.clamp(-1, 1) if "spz" in name else written.shN, found.shN) <= steps.rest
    assert psnr(written, found) >= steps.psnr


def test_every_format_is_written_twice_alike(tmp_path: Path) -> None:
    for ending in WRITERS:
        for name in ("a", "b"):
            export(tmp_path / f"{name}{ending}", lopsided(1))
        assert (tmp_path / f"a{ending}").read_bytes() == (tmp_path / f"b{ending}").read_bytes(), ending


def test_the_tables_are_what_the_help_says() -> None:
    from sctd import export as exports
    from sctd import formats

    assert tuple(READERS) == formats.ENDINGS
    assert tuple(EXPORTERS) == exports.ENDINGS
    assert set(WRITERS) <= set(READERS)


@pytest.mark.parametrize("ending", WRITERS)
def test_what_is_no_asset_is_not_written(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"a{ending}"
    empty, broken = lopsided(1), lopsided(1)
    empty = Gaussians(**{name: p[:0] for name, p in empty.parameters().items()})
    broken.scales[3, 1] = float("nan")
    with pytest.raises(InputError, match="there are no Gaussians"):
        export(path, empty)
    with pytest.raises(InputError, match="1 values of scales are not finite"):
        export(path, broken)
    assert list(tmp_path.iterdir()) == []


def test_spz_keeps_as_many_bits_as_its_range_leaves(tmp_path: Path) -> None:
    far = lopsided(0)
    far.means *= 3000
    export(tmp_path / "a.spz", far)
    found = read_gaussians(tmp_path / "a.spz")
    extent = float(far.means.abs().max())
    assert largest(far.means, found.means) <= extent * 2**-22
    far.means *= 1e6
    with pytest.raises(InputError, match=r"8388607 is the largest that \.spz holds; write \.ply"):
        export(tmp_path / "b.spz", far)


def test_many_patterns_of_direction_become_4096_in_a_sog(tmp_path: Path) -> None:
    written = lopsided(1, 5000)
    export(tmp_path / "a.sog", written)
    found = read_gaussians(tmp_path / "a.sog")
    assert len(found.shN.unique(dim=0)) <= 4096
    assert float((written.shN - found.shN).square().mean().sqrt()) < 0.05  # of 0.2


def test_an_unknown_ending_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"give a file ending in \.ply, \.splat, \.spz"):
        export(tmp_path / "a.usdz", lopsided(0))
