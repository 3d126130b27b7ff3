"""Optional packages: a missing one raises one line that says how to install it."""

from __future__ import annotations

import importlib.util
import sys

from sctd.errors import InputError


def need_matplotlib(what: str) -> None:
    """Check that curves can be drawn, without loading anything.

    Args:
        what: the option or command that asks, for the message.

    Raises:
        InputError: matplotlib is not installed.
    """
    _need("matplotlib", "bench", what)


def need_earcut(what: str) -> None:
    """Check that concave polygons can be cut into triangles; as :func:`need_matplotlib`."""
    _need("mapbox_earcut", "mesh", what)


def need_mesh(what: str) -> None:
    """Find out whether meshes can be made; as :func:`need_matplotlib`."""
    for package, module in (("scikit-image", "skimage"), ("fast-simplification", "fast_simplification")):
        _need(module, "mesh", what, package)
    if not any(importlib.util.find_spec(module) for module in ("uvunwrap", "xatlas")):
        _need("uvunwrap" if sys.version_info >= (3, 11) else "xatlas", "mesh", what)


def need_ray(what: str) -> None:
    """Check that ray is installed, without loading it, which takes a second; as :func:`need_matplotlib`."""
    _need("ray", "cluster", what)


def need_exr(what: str) -> None:
    """Check that .exr files can be written; as :func:`need_matplotlib`."""
    _need("OpenEXR", "exr", what)


def need_tensorboard(what: str) -> None:
    """Check that events for TensorBoard can be written; as :func:`need_matplotlib`."""
    _need("tensorboardX", "tensorboard", what)


def need_viser(what: str) -> None:
    """Check that the interactive viewer is installed; as :func:`need_matplotlib`."""
    _need("viser", "view", what)


def _need(module: str, extra: str, what: str, package: str = "") -> None:
    """``package``: the name for pip, where it is another than Python's."""
    if importlib.util.find_spec(module) is None:
        package = package or module
        raise InputError(
            f'{what} needs {package}; run `pip install "sctd[{extra}]"` or `pip install {package}`'
        )
