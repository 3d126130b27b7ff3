"""The configuration of a run, and how a tree of settings becomes one.

Loads neither torch nor native code, so that a wrong setting is reported at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from copy import deepcopy
from functools import cache
from typing import TYPE_CHECKING, Any

import yaml
from pydantic import Field, ValidationError, create_model, field_validator, model_validator

from sctd.config.asset import (
    BackgroundSettings,
    CameraSettings,
    DensifySettings,
    GaussianSettings,
    OptimSettings,
    OutputSettings,
    RegulariserSettings,
)
from sctd.config.base import MethodSection, Section
from sctd.config.explain import explain
from sctd.config.mesh import MeshSettings
from sctd.config.prior import PriorSettings, spelled_out
from sctd.config.stages import StageSettings, lengths
from sctd.config.surface import SurfaceSettings
from sctd.config.views import DEFAULT_NEGATIVE_PROMPT, ViewSettings
from sctd.errors import InputError
from sctd.names import first_control, with_plain_spaces
from sctd.registry import METHODS, REPRESENTATIONS, outside, settings_of

PHASES = (
    "cameras.ease_every",
    "gaussians.sh_raise_every",
    "optim.clip_iterations",
    "densify.stop",
    "regularisers.brightness_start",
    "regularisers.brightness_stop",
)
"""Settings in iterations that represent a share of the run. Other settings in iterations depend on Adam, such
as the time to restore opacities after a reset, and not on the run's length."""


class _General(Section):
    """The settings before the methods' sections."""

    prompt: str = Field(..., min_length=1, max_length=1000, description="what to make")
    negative_prompt: str = Field(
        DEFAULT_NEGATIVE_PROMPT, max_length=1000, description="what guidance pushes away from; may be empty"
    )
    seed: int = Field(
        0, ge=0, lt=2**63, description="seed of the first Gaussians, cameras, backgrounds and noise"
    )
    iterations: int = Field(300, ge=1, le=1_000_000, description="optimisation steps")
    pace: int | None = Field(
        None,
        ge=1,
        description="run length that the phases of a preset are meant for: in a run of another length they "
        "take the same share of it (docs/algorithm.md, section 6); null: they are as long as they say",
    )
    method: str = Field(
        "sctd",
        min_length=1,
        description=f"{', '.join(METHODS)}, or an installed one; its section has its name",
    )
    representation: str = Field(
        "gaussians",
        pattern=f"^({'|'.join(REPRESENTATIONS)})$",
        description="gaussians or mesh: what is optimised (docs/meshes.md)",
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


def _sections(names: tuple[str, ...]) -> dict[str, Any]:
    """Fields for :func:`pydantic.create_model`: the settings of these methods."""
    kinds = {name: settings_of(name) for name in names}
    return {name: (kind, Field(default_factory=kind)) for name, kind in kinds.items()}


if TYPE_CHECKING:
    _WithMethods = _General
else:
    _WithMethods = create_model("_WithMethods", __base__=_General, **_sections(tuple(METHODS)))


class Config(_WithMethods):
    """Everything a run depends on; two runs with equal configs give the same asset on a CPU.

    It has a section for each method of :data:`sctd.registry.METHODS`, by the method's name, and for methods
    of other packages that the settings name.
    """

    regularisers: RegulariserSettings = Field(default_factory=RegulariserSettings)
    optim: OptimSettings = Field(default_factory=OptimSettings)
    densify: DensifySettings = Field(default_factory=DensifySettings)
    output: OutputSettings = Field(default_factory=OutputSettings)
    surface: SurfaceSettings = Field(default_factory=SurfaceSettings)
    mesh: MeshSettings = Field(default_factory=MeshSettings)
    stages: tuple[StageSettings, ...] = Field(
        default=(),
        max_length=16,
        description="stages of the run, one after the other, each with a `name`, a `share` of the "
        "iterations and `settings` that differ from the run's (docs/stages.md), or a name, magic3d or "
        "fantasia3d; [] is one stage",
    )

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

    @model_validator(mode="after")
    def _each_has_iterations(self) -> Config:
        names = [stage.name for stage in self.stages]
        if len(set(names)) < len(names):
            raise ValueError(f"two stages have one name: {', '.join(names)}")
        if self.stages and min(lengths(self.stages, self.iterations)) < 1:
            raise ValueError(f"{self.iterations} iterations leave a stage none; set more, or other shares")
        return self

    def parts(self) -> list[Config]:
        """The stages as runs of their own, one after the other; a run without stages is the only one.

        Raises:
            InputError: a stage's setting is unknown or out of range.
        """
        if not self.stages:
            return [self]
        tree, parts = self.model_dump(exclude={"stages"}), []
        for stage, length in zip(self.stages, lengths(self.stages, self.iterations), strict=True):
            whole = deepcopy(tree)
            merge(whole, {**stage.settings, "iterations": length})
            try:
                parts.append(build_config(whole))
            except InputError as exc:
                raise InputError(f"stage {stage.name!r}: {exc}") from exc
        return parts

    def paced(self) -> Config:
        """The config with its :data:`PHASES` scaled from ``pace`` to ``iterations``."""
        if self.pace is None or self.pace == self.iterations:
            return self
        sections: dict[str, Section] = {}
        for key in PHASES:
            name, setting = key.split(".")
            section: Section = sections.get(name, getattr(self, name))
            length = max(1, round(getattr(section, setting) * self.iterations / self.pace))
            sections[name] = section.model_copy(update={setting: length})
        return self.model_copy(update=sections)

    @property
    def rule(self) -> MethodSection:
        """The section of the method."""
        section: MethodSection = getattr(self, self.method)
        return section

    def with_changes(self, **changes: Any) -> Config:
        """The config with other top-level settings, checked anew.

        Raises:
            InputError: a setting is unknown or out of range.
        """
        return build_config({**self.model_dump(), **changes})

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the settings: other processes cannot find a class with the sections of other packages."""
        return build_config, (self.model_dump(mode="json"),)

    def to_yaml(self) -> str:
        """The config as YAML that :func:`load_config` reads back to an equal one."""
        text: str = yaml.safe_dump(
            self.model_dump(mode="json"), sort_keys=False, allow_unicode=True, width=1000
        )
        return text


@cache
def _with_sections(names: tuple[str, ...]) -> type[Config]:
    """The class with the sections of methods from other packages too."""
    if not names:
        return Config
    wider: type[Config] = create_model("Config", __base__=Config, **_sections(names))
    return wider


def build_config(tree: Mapping[str, Any]) -> Config:
    """Check a tree of settings, any part of it missing.

    Raises:
        InputError: unknown key, or value out of range; one line that names the key.
    """
    named = {*tree, str(tree.get("method"))} - Config.model_fields.keys() - METHODS.keys()
    model = _with_sections(tuple(sorted(name for name in outside() if name in named)) if named else ())
    # Merged key by key: setting only optim.means.end keeps the default optim.means.start.
    whole = deepcopy(_defaults(model))
    merge(whole, tree)
    try:
        config = model.model_validate(whole)
    except ValidationError as exc:
        raise InputError(explain(exc, model)) from exc
    config.parts()
    return config


@cache
def _defaults(model: type[Config]) -> dict[str, Any]:
    return model.model_validate({"prompt": "any"}).model_dump(exclude={"prompt"})


def merge(tree: dict[str, Any], over: Mapping[str, Any]) -> None:
    """Put settings over those of a tree, section by section, in place."""
    for key, value in spelled_out(over).items():
        inner = tree.get(key)
        if isinstance(value, Mapping) and isinstance(inner, dict):
            merge(inner, value)
        else:
            tree[key] = value


def differences(old: Config, new: Config) -> list[str]:
    """Dotted keys in which two configs differ, for example ["seed", "optim.means.start"]."""
    a, b = (dict(leaves(c.model_dump(mode="json"))) for c in (old, new))
    return [key for key in a if a[key] != b.get(key)] + [key for key in b if key not in a]


def leaves(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted keys and their values, for example ("optim.means.start", 0.001)."""
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
