"""Reads options, files, sizes and colours from the command line. sctd/preflight.py checks a whole run."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sctd.errors import InputError
from sctd.names import slug as slug  # for the other commands too
from sctd.run.places import check_writable

BACKGROUND_HELP = "Background: white, black, or three numbers 0..1 as R,G,B."
UP_HELP = "The file's up axis: y, -y or z.  [default: as it says; -y (y down) if it does not]"


def prior_options(
    name: str | None,
    loras: list[str] | None = None,
    embeddings: list[str] | None = None,
    compile_: bool = False,
) -> dict[str, Any] | None:
    """The options about the prior as a tree of settings; None: none was given."""
    return given(name=name, loras=loras or None, embeddings=embeddings or None, compile=compile_ or None)


def given(**options: Any) -> dict[str, Any] | None:
    """The options that are not None; None: there are none."""
    return {key: value for key, value in options.items() if value is not None} or None


def default_preset(options: dict[str, Any], overrides: list[str], card: str | None) -> str:
    """The preset of the prior's size: sd21 for Stable Diffusion, given or by default, else embedded."""
    from sctd.config.prior import BUILT_IN, SD21_BASE
    from sctd.prior.default import default_prior

    name = (options["prior"] or {}).get("name")
    for key, _, value in (text.partition("=") for text in overrides):
        if key.strip() in ("prior", "prior.name"):
            name = name or value.strip()
    if name is None:
        name = SD21_BASE if card else default_prior(options["device"] or "auto")
    return "embedded" if name in BUILT_IN else "sd21"


def default_folder(prompt: str, seed: int) -> Path:
    """The default run folder: runs/<prompt>-seed<seed> under the current folder."""
    return Path("runs") / f"{slug(prompt)}-seed{seed}"


def check_new_files(paths: Sequence[Path], *, overwrite: bool) -> None:
    """Check before the work starts that small files can be written.

    Raises:
        InputError: one exists and may not be replaced, is a folder, or its place cannot be written.
    """
    for path in paths:
        if path.is_dir():
            raise InputError(f"{path} is a folder; give the name of a file")
    existing = [str(path) for path in paths if os.path.lexists(path)]
    if existing and not overwrite:
        raise InputError(f"{', '.join(existing)} exists; replace with --overwrite, or choose another name")
    for folder in dict.fromkeys(path.parent for path in paths):
        check_writable(folder, needed=1 << 20)


def asset_file(source: Path) -> Path:
    """The file of an asset, given as a file or as the folder of its run.

    Raises:
        InputError: there is none.
    """
    if source.is_dir():
        from sctd.run.folder import ASSET, ASSET_MESH, asset_of

        found = asset_of(source)
        if found is None:
            raise InputError(
                f"{source} holds no {ASSET} or {ASSET_MESH}; give the folder of a finished run, or a file"
            )
        return found
    if not source.is_file():
        raise InputError(f"{source} is not a file; give the asset of a run")
    return source


def picture_size(text: str) -> tuple[int, int]:
    """Width and height, pixels, of "512" or "640x480".

    Raises:
        InputError: it is neither, or not within 16..4096.
    """
    parts = text.lower().split("x")
    if len(parts) > 2 or not all(part.isascii() and part.isdigit() for part in parts):
        raise InputError(f"--size must be pixels such as 512, or 640x480 (width x height); got {text!r}")
    width, height = (int(part) for part in (parts[0], parts[-1]))
    if not (16 <= width <= 4096 and 16 <= height <= 4096):
        raise InputError(f"--size must be within 16..4096 pixels; got {text!r}")
    return width, height


def up_axis(text: str | None) -> str | None:
    """The value of --up, checked.

    Raises:
        InputError: it is not y, -y or z.
    """
    if text not in (None, "y", "-y", "z"):
        raise InputError(f"--up must be y, -y or z; got {text!r}")
    return text


def background(text: str) -> tuple[float, float, float]:
    """R, G, B in 0..1.

    Raises:
        InputError: neither a known name nor three numbers in range.
    """
    named = {"white": (1.0, 1.0, 1.0), "black": (0.0, 0.0, 0.0), "grey": (0.5, 0.5, 0.5)}
    if text in named:
        return named[text]
    try:
        r, g, b = (float(part) for part in text.split(","))
    except ValueError:
        r = g = b = -1.0
    if not all(0 <= x <= 1 for x in (r, g, b)):
        raise InputError(f"--background must be white, black, grey, or R,G,B with numbers 0..1; got {text!r}")
    return r, g, b
