"""An asset as one web page that works from a disk, a mail or a server, and makes no network requests.

It holds the asset's file, a picture that is shown until WebGL is ready, and the viewer: Spark and three.js
with our `tools/viewer/viewer.js`, built beforehand, so that users need no node. A policy in the page forbids
the browser every connection.
"""

from __future__ import annotations

import base64
import gzip
import io
import json
import math
import tempfile
from functools import cache
from html import escape
from pathlib import Path
from string import Template
from typing import NamedTuple

import torch

from sctd.cameras import orbit_cameras
from sctd.config.asset import OutputSettings
from sctd.errors import InputError
from sctd.files import whole_file
from sctd.formats.assets import Asset
from sctd.formats.meshes.surface import Triangles
from sctd.formats.write_mesh_glb import triangles_glb
from sctd.formats.write_ply import write_ply
from sctd.gaussians import Gaussians
from sctd.names import slug
from sctd.render import look_at_asset
from sctd.viewer.caption import Caption

WEB = Path(__file__).parent / "web"
LOSES = "every number is kept: the page holds the .ply, which its button saves"
"""Of Gaussians; a mesh is held as :mod:`sctd.formats.write_mesh_glb` writes it."""
POSTER_SIZE = 512
"""Pixels."""


def write_page(
    path: Path, asset: Asset, caption: Caption | None = None, output: OutputSettings | None = None
) -> None:
    """Write the page, whole or not at all. The same arguments give the same bytes.

    Args:
        path: the file; its folder must exist, an existing file is replaced.
        asset: N >= 1 Gaussians on any device, or triangles, y up.
        caption: its text; None: the file's name.
        output: the first camera, and the background colour; None: the defaults.

    Raises:
        InputError: there are no Gaussians, or a value is not finite.
        OSError: the file cannot be written.
    """
    caption = caption or Caption(path.stem)
    text = page(asset, caption, output or OutputSettings())
    with whole_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def page(asset: Asset, caption: Caption, output: OutputSettings) -> str:
    """The page's HTML; see :func:`write_page`."""
    held = _glb(asset) if isinstance(asset, Triangles) else _ply(asset)
    facts = {**caption.facts, held.what: f"{len(asset):,}"}
    view = {
        "azimuth": 0,
        "elevation": output.elevation_deg,
        "radius": output.radius,
        "fovy": math.degrees(output.fovy_rad),
    }
    background = ", ".join(str(round(255 * value)) for value in output.background)
    settings = f"<details><summary>Settings</summary><pre>{escape(caption.settings)}</pre></details>"
    return Template(_web("page.html")).substitute(
        title=escape(caption.title),
        facts="".join(f"<dt>{escape(key)}</dt><dd>{escape(value)}</dd>" for key, value in facts.items()),
        settings=settings if caption.settings else "",
        licenses=escape(_web("licenses.txt")),
        style=_web("page.css").replace("BACKGROUND", f"rgb({background})"),
        script=_web("page.js"),
        poster=_base64(_poster(asset, output)),
        view=escape(json.dumps(view)),
        name=escape(f"{slug(caption.title)}{held.ending}"),
        viewer=_packed_viewer(),
        ending=held.ending,
        asset=_packed(held.data),
    )


@cache
def _web(name: str) -> str:
    return (WEB / name).read_text(encoding="utf-8")


@cache
def _packed_viewer() -> str:
    return _packed(_web("viewer.js").encode())


def _packed(data: bytes) -> str:
    """Pack bytes for the page's script; without a time stamp."""
    return _base64(gzip.compress(data, 9, mtime=0))


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


class _Held(NamedTuple):
    """The file that a page holds."""

    data: bytes
    ending: str
    what: str
    """What there are so many of."""


def _glb(triangles: Triangles) -> _Held:
    return _Held(triangles_glb(triangles), ".glb", "triangles")


def _ply(gaussians: Gaussians) -> _Held:
    if len(gaussians) == 0:
        raise InputError("cannot make a page: there are no Gaussians")
    with tempfile.TemporaryDirectory(prefix="sctd-page-") as folder:
        path = Path(folder) / "asset.ply"
        write_ply(path, gaussians)
        return _Held(path.read_bytes(), ".ply", "Gaussians")


def _poster(asset: Asset, output: OutputSettings) -> bytes:
    """The first view as WebP with a transparent background: the reader chooses the page's colour."""
    from PIL import Image

    fov = math.degrees(output.fovy_rad)
    cameras = orbit_cameras(1, output.elevation_deg, output.radius, fov, POSTER_SIZE)
    seen = look_at_asset(asset, cameras, torch.zeros(1, 3))
    alpha = seen.alpha[0]
    straight = torch.cat((seen.rgb[0] / alpha.clamp_min(1e-6), alpha)).clamp(0, 1)
    pixels = (straight * 255).round().to(torch.uint8).permute(1, 2, 0).cpu().numpy()
    data = io.BytesIO()
    Image.fromarray(pixels, "RGBA").save(data, format="WEBP", quality=85)
    return data.getvalue()
