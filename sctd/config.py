"""The configuration of a run: defaults, preset, file, key=value settings, options; later ones win.

Loads neither torch nor native code, so that a wrong setting is reported at once.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any, cast

import yaml
from pydantic import BaseModel, Field, ValidationError, field_validator, model_validator

from sctd.errors import InputError
from sctd.methods.method_settings import CdsSettings, CsdSettings, GcsSettings, IsmSettings, SdsSettings
from sctd.methods.settings import DEFAULT_NEGATIVE_PROMPT, SctdSettings, ViewSettings
from sctd.names import first_control, with_plain_spaces
from sctd.prior import BUILT_IN
from sctd.prior.settings import VAE_MODES, PriorSettings, spelled_out, split_weight, split_word
from sctd.settings import (
    BackgroundSettings,
    CameraSettings,
    DensifySettings,
    GaussianSettings,
    OptimSettings,
    OutputSettings,
    RegulariserSettings,
    Section,
)
from sctd.texts import GivenTwice, read_yaml

PRESETS_FOLDER = Path(__file__).parent / "presets"
CARDS_FOLDER = PRESETS_FOLDER / "cards"
DEFAULT_PRESET = "embedded"


class Config(Section):
    """Everything a run depends on; two runs with equal configs give the same asset on a CPU."""

    prompt: str = Field(..., min_length=1, max_length=1000, description="what to make")
    negative_prompt: str = Field(
        DEFAULT_NEGATIVE_PROMPT, max_length=1000, description="what guidance pushes away from; may be empty"
    )
    seed: int = Field(
        0, ge=0, lt=2**63, description="seed of the first Gaussians, cameras, backgrounds and noise"
    )
    iterations: int = Field(350, ge=1, le=1_000_000, description="optimisation steps")
    method: str = Field(
        "sctd", min_length=1, description="sctd, sds, csd, cds, ism or gcs; its section has its name"
    )
    device: str = Field("auto", pattern=r"^(auto|cpu|cuda(:\d+)?)$", description="auto, cpu, cuda or cuda:N")
    dtype: str = Field(
        "auto",
        pattern=r"^(auto|float32|float16|bfloat16)$",
        description="auto, float32, float16 or bfloat16 for the prior; auto: float16 on CUDA only",
    )
    threads: int = Field(
        0, ge=0, le=1024, description="threads of the native code; 0: as many as there are cores"
    )

    prior: PriorSettings = Field(default_factory=PriorSettings)
    gaussians: GaussianSettings = Field(default_factory=GaussianSettings)
    cameras: CameraSettings = Field(default_factory=CameraSettings)
    background: BackgroundSettings = Field(default_factory=BackgroundSettings)
    views: ViewSettings = Field(default_factory=lambda: ViewSettings.model_validate({}))
    sctd: SctdSettings = Field(default_factory=lambda: SctdSettings.model_validate({}))
    sds: SdsSettings = Field(default_factory=lambda: SdsSettings.model_validate({}))
    csd: CsdSettings = Field(default_factory=lambda: CsdSettings.model_validate({}))
    cds: CdsSettings = Field(default_factory=lambda: CdsSettings.model_validate({}))
    ism: IsmSettings = Field(default_factory=lambda: IsmSettings.model_validate({}))
    gcs: GcsSettings = Field(default_factory=lambda: GcsSettings.model_validate({}))
    regularisers: RegulariserSettings = Field(default_factory=RegulariserSettings)
    optim: OptimSettings = Field(default_factory=OptimSettings)
    densify: DensifySettings = Field(default_factory=DensifySettings)
    output: OutputSettings = Field(default_factory=OutputSettings)

    @field_validator("prompt", "negative_prompt", mode="before")
    @classmethod
    def _spaces(cls, value: Any) -> Any:
        return with_plain_spaces(value) if isinstance(value, str) else value

    @model_validator(mode="after")
    def _printable(self) -> Config:
        for name in ("prompt", "negative_prompt"):
            if first_control(getattr(self, name)) is not None:
                raise ValueError(f"{name} must not hold control characters or line breaks")
        if not self.prompt.strip():
            raise ValueError("prompt must not be blank")
        return self

    def to_yaml(self) -> str:
        """The config as YAML that :func:`load_config` reads back to an equal one."""
        text: str = yaml.safe_dump(
            self.model_dump(mode="json"), sort_keys=False, allow_unicode=True, width=1000
        )
        return text


def preset_names() -> list[str]:
    """Names that ``load_config(preset=...)`` takes."""
    return sorted(p.stem for p in PRESETS_FOLDER.glob("*.yaml"))


def card_names() -> list[str]:
    """Names that ``load_config(card=...)`` takes, small cards first."""
    return sorted((p.stem for p in CARDS_FOLDER.glob("*.yaml")), key=lambda name: (len(name), name))


def load_config(
    preset: str | None = None,
    file: Path | None = None,
    overrides: Sequence[str] = (),
    *,
    card: str | None = None,
    **direct: Any,
) -> Config:
    """Put a config together: defaults, preset, card, file, overrides, direct settings; later ones win.

    Args:
        preset: a name of :func:`preset_names`; None takes "embedded".
        file: a YAML file with any part of the settings, for example a run's config.yaml.
        card: a name of :func:`card_names`: settings that fit a graphics card of that size.
        overrides: "key=value" or "section.key=value"; the value is read as YAML, null and [a, b] included.
        direct: top-level settings such as prompt="a red mushroom"; None means not given.

    Raises:
        InputError: unknown preset or key, value out of range, unreadable file; one line that names the key.
    """
    tree = load_tree(preset, file, overrides, card=card)
    return config_of(tree, (), {key: value for key, value in direct.items() if value is not None})


def load_tree(
    preset: str | None, file: Path | None, overrides: Sequence[str], *, card: str | None
) -> dict[str, Any]:
    """What files and overrides of :func:`load_config` say together, for many configs of :func:`config_of`.

    Raises:
        InputError: as there, but for what only the values together show.
    """
    tree = _read_named(preset or DEFAULT_PRESET, PRESETS_FOLDER, preset_names(), "preset")
    if card is not None:
        _merge(tree, _read_named(card, CARDS_FOLDER, card_names(), "card"))
    if file is not None:
        _merge(tree, _read_yaml(file, "config file"))
    for text in overrides:
        _merge(tree, _parse_override(text))
    return tree


def config_of(tree: Mapping[str, Any], overrides: Sequence[str], direct: Mapping[str, Any]) -> Config:
    """The config of a tree, which stays as it is, with further settings; see :func:`load_config`."""
    whole = deepcopy(dict(tree))
    for text in overrides:
        _merge(whole, _parse_override(text))
    _merge(whole, direct)
    return with_absolute_paths(build_config(whole))


def build_config(tree: Mapping[str, Any]) -> Config:
    """Check a tree of settings, any part of it missing; see :func:`load_config` for the errors."""
    # Over the defaults, key by key: who sets optim.means.end alone keeps optim.means.start.
    whole = deepcopy(_defaults())
    _merge(whole, tree)
    try:
        return Config.model_validate(whole)
    except ValidationError as exc:
        raise InputError(_explain(exc)) from exc


@cache
def _defaults() -> dict[str, Any]:
    return Config.model_validate({"prompt": "any"}).model_dump(exclude={"prompt"})


def with_absolute_paths(config: Config) -> Config:
    """The config with its files and folders as seen from anywhere; hub ids and other names stay.

    What a run was made with is then found again from every working directory. A name that may be either is a
    path when it is there, as :func:`sctd.prior.sources.find` has it.
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
    return config.model_copy(update=update)


def _absolute(text: str, *, if_there: bool = False) -> str:
    path = os.path.expanduser(text)
    wanted = text.strip() and (os.path.exists(path) or not if_there)
    return str(Path(path).absolute()) if wanted else text


def _absolute_before(text: str, split: Callable[[str], tuple[str, Any]]) -> str:
    """The text of a path with something behind it, which ``split`` parts."""
    path = split(text)[0]
    return _absolute(path) + text[len(path) :]


def differences(old: Config, new: Config) -> list[str]:
    """Dotted keys in which two configs differ, for example ["seed", "optim.means.start"]."""
    a, b = (dict(_leaves(c.model_dump(mode="json"))) for c in (old, new))
    return [key for key in a if a[key] != b.get(key)] + [key for key in b if key not in a]


def _leaves(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


@cache
def _read(path: Path, what: str) -> dict[str, Any]:
    """A file of the package, which does not change."""
    return spelled_out(_read_yaml(path, what))


def _read_named(name: str, folder: Path, known: Sequence[str], what: str) -> dict[str, Any]:
    """A preset's or card's tree; `extends: NAME` in it puts it on top of another one of its kind."""
    if name not in known:
        raise InputError(f"unknown {what} {name!r}; choose one of: {', '.join(known)}")
    tree = deepcopy(_read(folder / f"{name}.yaml", what))
    base = tree.pop("extends", None)
    if base is None:
        return tree
    whole = _read_named(base, folder, known, what)
    _merge(whole, tree)
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


def _merge(tree: dict[str, Any], over: Mapping[str, Any]) -> None:
    for key, value in spelled_out(over).items():
        inner = tree.get(key)
        if isinstance(value, Mapping) and isinstance(inner, dict):
            _merge(inner, value)
        else:
            tree[key] = value


def _explain(exc: ValidationError) -> str:
    """The first problem in one line, with how many more there are."""
    problems = exc.errors(include_url=False)
    first = problems[0]
    keys = [str(part) for part in first["loc"]]
    dotted, kind, given = ".".join(keys), first["type"], first.get("input")
    if kind == "extra_forbidden":
        line = _explain_unknown(keys)
    elif kind == "missing":
        line = f"setting {dotted!r} is missing"
    elif kind == "value_error":
        where = f"setting {dotted!r}: " if dotted else ""
        line = where + str(first["msg"]).removeprefix("Value error, ")
    elif kind == "string_pattern_mismatch":
        allowed = _section(keys).model_fields[keys[-1]].description
        line = f"setting {dotted!r} must be {allowed}; got {_shorten(given)}"
    else:
        reason = str(first["msg"]).replace("Input should", "must").replace("String should", "must")
        line = f"setting {dotted!r} {reason}; got {_shorten(given)}"
    more = len(problems) - 1
    return line + (f" (and {more} more problem{'s' if more > 1 else ''})" if more else "")


def _section(keys: Sequence[str]) -> type[BaseModel]:
    """The model that holds the setting ``keys``."""
    model: Any = Config
    for key in keys[:-1]:
        model = model.model_fields[key].annotation
    return cast("type[BaseModel]", model)


def _explain_unknown(keys: list[str]) -> str:
    known = list(_section(keys).model_fields)
    close = difflib.get_close_matches(keys[-1], known, n=1)
    section = ".".join(keys[:-1])
    guess = f"did you mean {'.'.join([*keys[:-1], close[0]])!r}? " if close else ""
    where = f" in {section}" if section else ""
    return f"unknown setting {'.'.join(keys)!r}; {guess}known{where}: {', '.join(known)}"


def _shorten(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
