"""Which noise a scheduler's config describes, and the refusal of all that is not DDPM's. No torch."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sctd.errors import InputError

FILE = "scheduler_config.json"
SCHEDULES = ("linear", "scaled_linear", "squaredcos_cap_v2")
"""beta_schedule: how the betas go from the first to the last."""

_WANTED = "sctd works with the noise of DDPM, which betas describe; use a Stable Diffusion 1.x or 2.x model"


def check(folder: Path, name: str) -> None:
    """Refuses a scheduler's config that describes no betas: read as DDPM's it would give other levels.

    Args:
        folder: of the scheduler.
        name: what errors call the prior.

    Raises:
        InputError: it is missing, no JSON, or of another family of noise; the message names the family.
    """
    path = folder / FILE
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as exc:
        raise InputError(f"prior {name}: its scheduler is missing or damaged ({FILE} is not there)") from exc
    except OSError as exc:
        raise InputError(f"prior {name}: {path} cannot be read: {exc.strerror or exc}") from exc
    except ValueError as exc:
        raise InputError(
            f"prior {name}: its scheduler is missing or damaged ({FILE} is no JSON: {exc}); fetch it again"
        ) from exc
    if not isinstance(config, dict):
        raise InputError(f"prior {name}: its scheduler is missing or damaged ({FILE} holds no table)")
    if family := other_family(config):
        raise InputError(f"prior {name}: its scheduler is of {family}; {_WANTED}")
    schedule = config.get("beta_schedule")
    if config.get("trained_betas") is None and schedule not in SCHEDULES:
        raise InputError(
            f"prior {name}: its scheduler has the beta_schedule {schedule!r}; "
            f"sctd knows {', '.join(SCHEDULES)} and trained_betas"
        )


def other_family(config: Mapping[str, Any]) -> str | None:
    """The family of noise that a config describes, unless it is DDPM's."""
    kind = str(config.get("_class_name", ""))
    if "Flow" in kind or config.get("use_flow_sigmas") or config.get("prediction_type") == "flow_prediction":
        return f"flow matching ({kind or 'it predicts a flow'})"
    if config.get("snr_shift_scale") not in (None, 1, 1.0):
        return f"shifted noise levels ({kind}, snr_shift_scale)"
    if _has_betas(config):
        return None
    if "EDM" in kind or kind == "CosineDPMSolverMultistepScheduler" or "sigma_max" in config:
        return f"EDM or another noise told by sigmas ({kind or 'sigma_max'})"
    return f"a kind that tells no betas ({kind or 'no _class_name'})"


def _has_betas(config: Mapping[str, Any]) -> bool:
    if config.get("trained_betas") is not None:
        return True
    if config.get("beta_schedule") == "squaredcos_cap_v2":  # a cosine: no ends
        return True
    return config.get("beta_schedule") is not None and {"beta_start", "beta_end"} <= config.keys()
