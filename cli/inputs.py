"""What a person typed, checked before anything heavy is loaded: the prompt and the folder to write to."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sctd.errors import InputError, PromptError
from sctd.names import first_control, with_plain_spaces
from sctd.names import slug as slug  # for the other commands too
from sctd.run.claims import refuse_held

MAX_PROMPT = 1000
"""Characters; far above the 77 tokens that a Stable Diffusion text encoder reads."""

NEEDED_BYTES = 64 << 20
"""Free space asked for before a run starts: a run of the embedded preset writes about a tenth of it."""

BACKGROUND_HELP = "Background: white, black, or three numbers 0..1 as R,G,B."
UP_HELP = "The file's up axis: y, -y or z.  [default: as it says; -y (y down) if it does not]"

_EXAMPLE = 'for example `sctd generate "a red mushroom"`'
_FILE_ENDING = re.compile(
    r"\.(ply|png|jpe?g|mp4|txt|ya?ml|json|safetensors|ckpt|py|sh|glb|obj|splat|spz|sog|npz)$", re.I
)
_PATH_START = re.compile(r"^(/|\\|~|\.{1,2}([/\\]|$)|[A-Za-z]:[/\\]|file:)")


def check_prompt(prompt: str) -> str:
    """The prompt without white space around it, and with plain spaces in it.

    Raises:
        PromptError: it is empty, too long, holds control characters, or is a path instead of words.
    """
    prompt = with_plain_spaces(prompt).strip(" ")
    if not prompt.strip():
        raise PromptError(f"the prompt is empty; describe the object in words, {_EXAMPLE}")
    if len(prompt) > MAX_PROMPT:
        raise PromptError(
            f"the prompt has {len(prompt)} characters, at most {MAX_PROMPT} are allowed; say it more briefly"
        )
    position = first_control(prompt)
    if position is not None:
        raise PromptError(
            f"the prompt holds the control character {prompt[position]!a} at position {position}; "
            "use letters, digits, spaces and punctuation only"
        )
    if _is_path_like(prompt):
        raise PromptError(
            f"the prompt {shorten(prompt)!r} looks like a path; describe the object in words, {_EXAMPLE} "
            "(settings files go to --config, priors to --prior)"
        )
    return prompt


def _is_path_like(prompt: str) -> bool:
    one_word = not any(c.isspace() for c in prompt)
    return bool(
        _PATH_START.match(prompt)
        or re.search(r"(^|[/\\\s])\.\.([/\\]|$)", prompt)
        or _FILE_ENDING.search(prompt)
        or (one_word and ("/" in prompt or "\\" in prompt))
    )


def shorten(text: str, length: int = 60) -> str:
    """The text, cut with an ellipsis when it is longer than ``length`` characters."""
    return text if len(text) <= length else text[: length - 1] + "…"


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
    """Where a run goes when nothing else is said: runs/<prompt>-seed<seed> under the current folder."""
    return Path("runs") / f"{slug(prompt)}-seed{seed}"


def check_run_folder(out: Path, *, resume: bool, overwrite: bool) -> None:
    """Find out before the work starts whether the run folder can be used.

    Raises:
        InputError: it exists and neither flag is given, it should be resumed and does not exist, or it cannot
            be written: not a folder, read-only, or a disk with too little space.
        Held: another process works in it.
    """
    if resume and overwrite:
        raise InputError("--resume and --overwrite exclude each other; choose one")
    exists = os.path.lexists(out)
    if exists and not out.is_dir():
        raise InputError(f"{out} exists and is not a folder; choose another one with --out")
    if exists and not (resume or overwrite):
        raise InputError(
            f"the run folder {out} exists; continue it with --resume, replace it with --overwrite, "
            "or choose another one with --out"
        )
    if resume and not exists:
        raise InputError(f"there is no run to resume in {out}; leave --resume out to start one")
    refuse_held(out)
    check_writable(out)


def check_writable(out: Path, needed: int = NEEDED_BYTES) -> None:
    """Try out the nearest existing part of a folder to write to, leaving nothing there.

    Raises:
        InputError: it is no folder, cannot be written, or has less than ``needed`` bytes free.
    """
    folder = _nearest_existing(out)
    if not folder.is_dir():
        raise InputError(f"cannot write {out}: {folder} is not a folder; choose another one with --out")
    try:
        # Permission bits do not tell all (read-only mounts, quotas, limits on a file's size): write and see.
        with tempfile.TemporaryFile(dir=folder) as probe:
            probe.write(b"\0" * (1 << 20))
            probe.flush()
    except OSError as exc:
        from .failures import explain

        exc.filename = str(out)
        raise InputError(explain(exc)[0] if exc.errno else f"cannot write {out}: {exc}") from exc
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise InputError(
            f"only {free / 2**20:.0f} MiB are free for {out}, a run needs about {needed / 2**20:.0f} MiB; "
            "free some, or write somewhere else with --out"
        )


def check_new_files(paths: Sequence[Path], *, overwrite: bool) -> None:
    """Find out before the work starts whether small files can be written.

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


def _nearest_existing(path: Path) -> Path:
    path = path.absolute()
    while not os.path.lexists(path):
        path = path.parent
    return path


def asset_file(source: Path) -> Path:
    """The file of an asset that was given itself, or by the folder of its run.

    Raises:
        InputError: there is none.
    """
    if source.is_dir():
        from sctd.run.folder import ASSET

        if not (source / ASSET).is_file():
            raise InputError(f"{source} holds no {ASSET}; give the folder of a finished run, or a file")
        return source / ASSET
    if not source.is_file():
        raise InputError(f"{source} is not a file; give the asset.ply of a run")
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
    """What --up says, checked.

    Raises:
        InputError: it is no axis that files have up.
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
