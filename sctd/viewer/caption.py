"""The caption of an asset's page."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from sctd.config import Config


@dataclass(frozen=True)
class Caption:
    """Plain text; the page escapes it."""

    title: str
    """The prompt, or the name of a file."""
    facts: dict[str, str] = field(default_factory=dict)
    """Short facts by name."""
    settings: str = ""
    """All settings as YAML; may be empty."""

    @classmethod
    def of_run(cls, config: Config) -> Caption:
        """The prompt and the settings of a run."""
        facts = {
            "seed": str(config.seed),
            "method": config.method,
            "prior": _without_folders(config.prior.name),
            "iterations": str(config.iterations),
        }
        tree = _without_folders(config.model_dump(mode="json"))
        text = yaml.safe_dump(tree, sort_keys=False, allow_unicode=True, width=1000)
        return cls(config.prompt, facts, text)


def _without_folders(value: Any) -> Any:
    """Settings with file names instead of absolute paths: a shared page must not show its maker's folders."""
    if isinstance(value, dict):
        return {key: part if key == "prompt" else _without_folders(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_without_folders(part) for part in value]
    if isinstance(value, str) and Path(value).is_absolute():
        return Path(value).name
    return value
