"""Tables of distillation methods and of representations. No torch: the command line loads them.

Other packages add a method without an edit here, by an entry point of the group ``sctd.methods`` that names
the method's class; docs/methods_of_your_own.md shows a whole one.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any, NamedTuple

from sctd.errors import InputError

GROUP = "sctd.methods"


class Method(NamedTuple):
    """Where a method's parts are, each as "module:name", so that neither is loaded before it is needed."""

    settings: str
    """A :class:`sctd.config.base.MethodSection`: the section of the configuration with the method's name."""
    make: str
    """A :class:`sctd.methods.base.MethodFactory`."""


METHODS = {
    "sctd": Method("sctd.config.sctd:SctdSettings", "sctd.methods.sctd:Sctd"),
    "sds": Method("sctd.config.methods:SdsSettings", "sctd.methods.sds:Sds"),
    "csd": Method("sctd.config.methods:CsdSettings", "sctd.methods.csd:Csd"),
    "cds": Method("sctd.config.methods:CdsSettings", "sctd.methods.cds:Cds"),
    "ism": Method("sctd.config.methods:IsmSettings", "sctd.methods.ism:Ism"),
    "gcs": Method("sctd.config.methods:GcsSettings", "sctd.methods.gcs:Gcs"),
}
"""Those of this package, by the name that ``--method`` takes."""

REPRESENTATIONS = {
    "gaussians": "sctd.splats.trained:Splats",
    "mesh": "sctd.mesh.trained.trained:TrainedMesh",
}
"""What a stage optimises, by name: a :class:`sctd.representation.Representation` as "module:name"."""


@cache
def outside() -> Mapping[str, EntryPoint]:
    """Methods of other installed packages, by name; their code is not loaded here.

    Raises:
        InputError: two have one name, or one has the name of a method of this package.
    """
    found: dict[str, EntryPoint] = {}
    for point in entry_points(group=GROUP):
        if point.name in METHODS or found.get(point.name, point) != point:
            raise InputError(
                f"the installed method {point.name!r} ({point.value}) has the name of another one; "
                "uninstall one of them"
            )
        found[point.name] = point
    return found


def check(name: str) -> str:
    """The name itself when that method exists.

    Raises:
        InputError: the method is unknown; the message says which exist.
    """
    if name in METHODS or name in outside():
        return name
    raise InputError(f"method {name!r} is unknown; available: {', '.join((*METHODS, *sorted(outside())))}")


def settings_of(name: str) -> Any:
    """The class of a method's settings. Loads the code of a method from outside, and no other's.

    Raises:
        InputError: the method is unknown, or its package is broken.
    """
    return named(METHODS[name].settings) if name in METHODS else _from_outside(name).Settings


def maker_of(name: str) -> Any:
    """The class of a method; see :class:`sctd.methods.base.MethodFactory`.

    Raises:
        InputError: as :func:`settings_of`.
    """
    return named(METHODS[name].make) if name in METHODS else _from_outside(name)


def named(where: str) -> Any:
    """The object that "module:name" names, loaded."""
    module, _, name = where.partition(":")
    return getattr(importlib.import_module(module), name)


def _from_outside(name: str) -> Any:
    point = outside()[check(name)]
    try:
        found = point.load()
        found.Settings  # noqa: B018 (it must be there)
    except Exception as exc:  # another package's code may raise any exception
        reason = " ".join(str(exc).split())
        raise InputError(
            f"the installed method {name!r} ({point.value}) cannot be loaded ({reason}); "
            "mend or uninstall its package"
        ) from exc
    return found
