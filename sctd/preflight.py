"""All checks of a run before torch is loaded; the command line and the library both call them.

Two need torch: :func:`sctd.prior.check_card`, before weights are loaded, and once they are,
:func:`sctd.trainer.method_of` of each stage.
"""

from __future__ import annotations

import re
from pathlib import Path

from sctd import initial, registry
from sctd.config import Config
from sctd.config.prior import EMBEDDED, PriorSettings
from sctd.config.surface import SHAPING
from sctd.errors import InputError, PromptError
from sctd.extras import need_matplotlib, need_mesh, need_tensorboard
from sctd.machine import device as devices
from sctd.names import first_control, shorten, with_plain_spaces
from sctd.prior import families
from sctd.run.claims import refuse_held
from sctd.run.folder import check_same_settings, check_target
from sctd.run.places import check_writable

MAX_PROMPT = 1000
"""Characters; far above the 77 tokens that a Stable Diffusion text encoder reads."""

_EXAMPLE = 'for example `sctd generate "a red mushroom"`'
_FILE_ENDING = re.compile(
    r"\.(ply|png|jpe?g|mp4|txt|ya?ml|json|safetensors|ckpt|py|sh|glb|obj|splat|spz|sog|npz)$", re.I
)
_PATH_START = re.compile(r"^(/|\\|~|\.{1,2}([/\\]|$)|[A-Za-z]:[/\\]|file:)")


def check_run(
    config: Config, out: Path, *, resume: bool = False, overwrite: bool = False, prior_is_loaded: bool = False
) -> None:
    """Refuse a run that could not begin.

    Args:
        out: its folder; see :func:`sctd.pipeline.generate` for this and the flags.
        prior_is_loaded: the run uses another prior than ``config.prior``.

    Raises:
        InputError: the first thing that cannot be used.
        Held: another process works in the folder.
    """
    check_config(config, resume=resume, prior_is_loaded=prior_is_loaded)
    check_place(config, out, resume=resume, overwrite=overwrite)


def check_config(config: Config, *, resume: bool = False, prior_is_loaded: bool = False) -> None:
    """Refuse a run for its settings, in any folder; arguments as for :func:`check_run`.

    Raises:
        InputError: the first setting that cannot be used.
    """
    check_settings(config, resume=resume)
    for part in config.parts():
        check_prompt(part.prompt, None if prior_is_loaded else part.prior)
        if not prior_is_loaded:
            check_prior(part.prior)
        elif part.prior != config.prior:
            raise InputError(
                f"a stage has a prior of its own, {part.prior}, where one prior is loaded for the whole run; "
                "leave it out of the stage"
            )
    if not prior_is_loaded:
        check_shown(config)


def check_settings(config: Config, *, resume: bool = False) -> None:
    """Refuse an unknown method, a missing package, and a file that a new run cannot start from.

    Args:
        resume: the run continues from its checkpoint and does not need the file.

    Raises:
        InputError: one line with the remedy.
    """
    for part in config.parts():
        registry.check(part.method)
    check_representations(config)
    for part in config.parts():
        if _shows_normals(part) and part.rule.flip:
            raise InputError(
                f"a normal map (surface.shown) cannot be mirrored, and {part.method}.flip is "
                f"{part.rule.flip:g}; set {part.method}.flip=0 in the stage"
            )
    if config.output.plot:
        need_matplotlib("output.plot")
    if config.output.tensorboard:
        need_tensorboard("output.tensorboard")
    if config.output.mesh:
        need_mesh("output.mesh")
    if not resume:
        initial.check(config.gaussians)


def check_representations(config: Config) -> None:
    """Refuse a mesh that has nothing to begin with, and what cannot follow it.

    Raises:
        InputError: one line with the remedy.
    """
    before: Config | None = None
    for k, part in enumerate(config.parts()):
        stage = config.stages[k] if config.stages else None
        who = f"stage {stage.name!r}" if stage else "the run"
        if part.representation != "mesh":
            if before is not None and before.representation == "mesh":
                raise InputError(f"{who} makes Gaussians after a mesh, which has none; put the mesh last")
            before = part
            continue
        need_mesh("representation = mesh")
        if before is None and part.gaussians.init in initial.SHAPES:
            raise InputError(
                f"{who} makes a mesh of nothing: gaussians.init is {part.gaussians.init}; put a stage of "
                "Gaussians before it, such as --stages magic3d does, or begin with a file (--init)"
            )
        unread = [key for key in ("gaussians", "densify") if stage and key in stage.settings]
        if unread:
            raise InputError(f"{who} makes a mesh, which does not read {', '.join(unread)}; leave it out")
        if before is not None and before.representation == "mesh":
            changed = [key for key in SHAPING if getattr(before.surface, key) != getattr(part.surface, key)]
            if changed:
                raise InputError(
                    f"{who} goes on with the mesh of the stage before; surface.{changed[0]} must be the same"
                )
        before = part


def check_shown(config: Config) -> None:
    """Refuse pictures that the prior has never seen.

    Args:
        config: of a run with the priors that it names.

    Raises:
        InputError: they are normal maps, and the prior is the embedded one.
    """
    if any(_shows_normals(part) and part.prior.name == EMBEDDED for part in config.parts()):
        raise InputError(
            "surface.shown is normals, and the embedded prior has never seen a normal map in the axes of a "
            "camera; set surface.shown=colors, take --stages magic3d, or choose another prior (--prior)"
        )


def _shows_normals(config: Config) -> bool:
    return config.representation == "mesh" and config.surface.shown == "normals"


def check_prior(settings: PriorSettings) -> None:
    """Refuse a prior or an adapter that is missing, damaged, or of an unknown kind.

    Raises:
        InputError: one line with the remedy.
    """
    from sctd.prior.load import sources

    sources.find(settings)


def check_place(config: Config, out: Path, *, resume: bool, overwrite: bool) -> None:
    """Refuse a device that does not exist, and a folder that the run cannot use.

    Raises:
        InputError: there is no such device; both flags are given; the folder holds something, or, to resume,
            no run or one of other settings.
        OutputError: it cannot be written, or the disk is full.
        Held: another process works in it.
    """
    if resume and overwrite:
        raise InputError("--resume and --overwrite (resume, overwrite) exclude each other; choose one")
    devices.check(config.device)
    if resume:
        check_same_settings(out, config)
        refuse_held(out)
    else:
        check_target(out, overwrite=overwrite)
    check_writable(out)


def check_prompt(prompt: str, prior: PriorSettings | None = None) -> str:
    """The prompt without white space around it, and with plain spaces in it.

    Args:
        prior: that reads it; the embedded one knows few words.

    Raises:
        PromptError: it is empty, too long, holds control characters, is a path instead of words, or is not
            in the prior's world.
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
    if prior is not None:
        families.check_prompt(prior.name, prompt)
    return prompt


def _is_path_like(prompt: str) -> bool:
    one_word = not any(c.isspace() for c in prompt)
    return bool(
        _PATH_START.match(prompt)
        or re.search(r"(^|[/\\\s])\.\.([/\\]|$)", prompt)
        or _FILE_ENDING.search(prompt)
        or (one_word and ("/" in prompt or "\\" in prompt))
    )
