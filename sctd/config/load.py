"""Reads a configuration: defaults, preset, file, key=value settings, options; later ones win.

Loads neither torch nor native code, so that a wrong setting is reported at once.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from sctd.config.prior import BUILT_IN, VAE_MODES, spelled_out, split_weight, split_word
from sctd.config.run import Config, build_config, merge
from sctd.config.stages import StageSettings, picked
from sctd.errors import InputError
from sctd.texts import GivenTwice, read_yaml

PRESETS_FOLDER = Path(__file__).parent / "presets"
CARDS_FOLDER = PRESETS_FOLDER / "cards"
STAGES_FOLDER = PRESETS_FOLDER / "stages"
DEFAULT_PRESET = "embedded"


def preset_names() -> list[str]:
    """Names that ``load_config(preset=...)`` takes."""
    return sorted(p.stem for p in PRESETS_FOLDER.glob("*.yaml"))


def card_names() -> list[str]:
    """Names that ``load_config(card=...)`` takes, small cards first."""
    return sorted((p.stem for p in CARDS_FOLDER.glob("*.yaml")), key=lambda name: (len(name), name))


def stages_names() -> list[str]:
    """Names that the setting ``stages`` takes instead of a list."""
    return sorted(p.stem for p in STAGES_FOLDER.glob("*.yaml"))


def load_config(
    preset: str | None = None,
    file: Path | None = None,
    overrides: Sequence[str] = (),
    *,
    card: str | None = None,
    **direct: Any,
) -> Config:
    """Read a config: defaults, preset, card, file, overrides, direct settings; later ones win.

    Args:
        preset: a name of :func:`preset_names`; None takes "embedded".
        file: a YAML file with any part of the settings, for example a run's config.yaml.
        card: a name of :func:`card_names`: settings that fit a graphics card of that size.
        overrides: "key=value" or "section.key=value"; the value is read as YAML, null and [a, b] included.
        direct: top-level settings such as prompt="a red mushroom"; None means not given. ``stages`` may be a
            name of :func:`stages_names`, here as in a file and the overrides.

    Raises:
        InputError: unknown preset or key, value out of range, unreadable file; one line that names the key.
    """
    tree = load_tree(preset, file, overrides, card=card)
    return config_of(tree, (), {key: value for key, value in direct.items() if value is not None})


def load_tree(
    preset: str | None, file: Path | None, overrides: Sequence[str], *, card: str | None
) -> dict[str, Any]:
    """The merged files and overrides of :func:`load_config`, for many configs of :func:`config_of`.

    Raises:
        InputError: as there, except for problems that only the values together show.
    """
    tree = _read_named(preset or DEFAULT_PRESET, PRESETS_FOLDER, preset_names(), "preset")
    if card is not None:
        merge(tree, _read_named(card, CARDS_FOLDER, card_names(), "card"))
    if file is not None:
        merge(tree, _read_yaml(file, "config file"))
    for text in overrides:
        merge(tree, _parse_override(text))
    return tree


def config_of(tree: Mapping[str, Any], overrides: Sequence[str], direct: Mapping[str, Any]) -> Config:
    """The config of a tree with further settings; does not change the tree. See :func:`load_config`."""
    whole = deepcopy(dict(tree))
    for text in overrides:
        merge(whole, _parse_override(text))
    merge(whole, direct)
    if isinstance(whole.get("stages"), str):
        whole |= _read_named(whole["stages"], STAGES_FOLDER, stages_names(), "stages")
    return with_absolute_paths(build_config(whole))


def with_absolute_paths(config: Config) -> Config:
    """The config with absolute paths of files and folders; hub ids and other names stay.

    So a run finds its files from every working directory. A name that may be both is a path if it exists, as
    in :func:`sctd.prior.load.sources.find`.
    """
    prior, gaussians = config.prior, config.gaussians
    paths = {
        "name": prior.name if prior.name in BUILT_IN else _absolute(prior.name, if_there=True),
        "loras": [_absolute_before(text, split_weight) for text in prior.loras],
        "embeddings": [_absolute_before(text, split_word) for text in prior.embeddings],
        "config": prior.config and _absolute(prior.config),
        "vae": prior.vae if prior.vae in VAE_MODES else _absolute(prior.vae),
    }
    starts = {
        "init_path": gaussians.init_path and _absolute(gaussians.init_path),
        "shap_e": _absolute(gaussians.shap_e, if_there=True),
    }
    update = {"prior": prior.model_copy(update=paths), "gaussians": gaussians.model_copy(update=starts)}
    return config.model_copy(update={**update, "stages": _absolute_stages(config)})


def _absolute_stages(config: Config) -> tuple[StageSettings, ...]:
    """What each stage sets for itself, with the paths in it absolute."""
    stages = []
    for stage, part in zip(config.stages, config.parts() if config.stages else (), strict=True):
        whole = with_absolute_paths(part).model_dump(mode="json")
        stages.append(stage.model_copy(update={"settings": picked(spelled_out(stage.settings), whole)}))
    return tuple(stages)


def _absolute(text: str, *, if_there: bool = False) -> str:
    path = os.path.expanduser(text)
    wanted = text.strip() and (os.path.exists(path) or not if_there)
    return str(Path(path).absolute()) if wanted else text


def _absolute_before(text: str, split: Callable[[str], tuple[str, Any]]) -> str:
    """The absolute text of a path with a suffix, which ``split`` separates."""
    path = split(text)[0]
    return _absolute(path) + text[len(path) :]


@cache
def _read(path: Path, what: str) -> dict[str, Any]:
    """A file of the package, read once."""
    return spelled_out(_read_yaml(path, what))


def _read_named(name: str, folder: Path, known: Sequence[str], what: str) -> dict[str, Any]:
    """The tree of a preset, a card or stages; `extends: NAME` in it merges it over another of its kind."""
    if name not in known:
        raise InputError(f"unknown {what} {name!r}; choose one of: {', '.join(known)}")
    tree = deepcopy(_read(folder / f"{name}.yaml", what))
    base = tree.pop("extends", None)
    if base is None:
        return tree
    whole = _read_named(base, folder, known, what)
    merge(whole, tree)
    return whole


def _read_yaml(path: Path, what: str) -> dict[str, Any]:
    try:
        tree = read_yaml(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as exc:
        reason = exc.strerror if isinstance(exc, OSError) and exc.strerror else "not a UTF-8 text file"
        raise InputError(f"cannot read {what} {path}: {reason}") from exc
    except GivenTwice as exc:
        raise InputError(f"{what} {path}: {exc}") from exc
    except yaml.YAMLError as exc:
        raise InputError(f"{what} {path} is not valid YAML: {' '.join(str(exc).split())}") from exc
    if tree is None:
        return {}
    if not isinstance(tree, dict) or not all(isinstance(key, str) for key in tree):
        raise InputError(f"{what} {path} must hold `key: value` settings, got {type(tree).__name__}")
    return tree


def _parse_override(text: str) -> dict[str, Any]:
    key, equals, value = text.partition("=")
    parts = key.strip().split(".")
    if not equals or not all(parts):
        raise InputError(
            f"setting {text!r} must read key=value or section.key=value, e.g. optim.means.start=0.01"
        )
    try:
        leaf: Any = read_yaml(value)
    except GivenTwice as exc:
        raise InputError(f"setting {text!r}: {exc}") from exc
    except yaml.YAMLError as exc:
        raise InputError(
            f"the value of setting {text!r} is not valid YAML; quote text with colons or brackets"
        ) from exc
    for part in reversed(parts):
        leaf = {part: leaf}
    tree: dict[str, Any] = leaf
    return tree
