"""Optional packages: a missing one is one line that says how to get it."""

from __future__ import annotations

import importlib.util
import sys

from sctd.errors import InputError


def need_matplotlib(what: str) -> None:
    """Find out whether curves can be drawn, without loading anything.

    Args:
        what: the option or command that asks, for the message.

    Raises:
        InputError: matplotlib is not installed.
    """
    _need("matplotlib", "bench", what)


def need_earcut(what: str) -> None:
    """Find out whether concave polygons can be cut into triangles; as :func:`need_matplotlib`."""
    _need("mapbox_earcut", "mesh", what)


def need_mesh(what: str) -> None:
    """Find out whether meshes can be made; as :func:`need_matplotlib`."""
    for package, module in (("scikit-image", "skimage"), ("fast-simplification", "fast_simplification")):
        _need(module, "mesh", what, package)
    if not any(importlib.util.find_spec(module) for module in ("uvunwrap", "xatlas")):
        _need("uvunwrap" if sys.version_info >= (3, 11) else "xatlas", "mesh", what)


def need_ray(what: str) -> None:
    """Find out whether there can be a cluster; as :func:`need_matplotlib`, for loading ray takes a second."""
    _need("ray", "cluster", what)


def need_exr(what: str) -> None:
    """Find out whether .exr files can be written; as :func:`need_matplotlib`."""
    _need("OpenEXR", "exr", what)


def need_tensorboard(what: str) -> None:
    """Find out whether events for TensorBoard can be written; as :func:`need_matplotlib`."""
    _need("tensorboardX", "tensorboard", what)


def need_viser(what: str) -> None:
    """Find out whether there can be an interactive viewer; as :func:`need_matplotlib`."""
    _need("viser", "view", what)


def _need(module: str, extra: str, what: str, package: str = "") -> None:
    """``package``: the name for pip, where it is another than Python's."""
    if importlib.util.find_spec(module) is None:
        package = package or module
        raise InputError(
            f'{what} needs {package}; run `pip install "sctd[{extra}]"` or `pip install {package}`'
        )
