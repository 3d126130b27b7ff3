"""Schedulers: DDPM's noise is read to the level, every other family is refused by its name."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from published import edit, refusal

from sctd.config.sctd import SctdSettings
from sctd.errors import InputError
from sctd.prior import load_prior
from sctd.prior.load import parts
from sctd.prior.load.noise import check, other_family
from sctd.schedule import Schedule
from sctd.solver import noise_in


def scheduler(folder: Path, **values: Any) -> Path:
    edit(folder / "scheduler" / "scheduler_config.json", **values)
    return folder


NO_BETAS = {"beta_schedule": None, "beta_start": None, "beta_end": None}
FAMILIES: dict[str, tuple[dict[str, Any], str]] = {
    "flow": ({"_class_name": "FlowMatchEulerDiscreteScheduler", "shift": 3.0, **NO_BETAS}, "flow matching"),
    "flow Heun": ({"_class_name": "FlowMatchHeunDiscreteScheduler"}, "flow matching"),
    "flow sigmas": ({"_class_name": "UniPCMultistepScheduler", "use_flow_sigmas": True}, "flow matching"),
    "flow prediction": ({"prediction_type": "flow_prediction"}, "flow matching"),
    "EDM": ({"_class_name": "EDMEulerScheduler", "sigma_max": 80.0, **NO_BETAS}, "EDM"),
    "EDM DPM": ({"_class_name": "EDMDPMSolverMultistepScheduler", **NO_BETAS}, "EDM"),
    "cosine DPM": ({"_class_name": "CosineDPMSolverMultistepScheduler", **NO_BETAS}, "EDM"),
    "consistency": (
        {"_class_name": "CMStochasticIterativeScheduler", "sigma_max": 80.0, **NO_BETAS},
        "sigmas",
    ),
    "IPNDM": ({"_class_name": "IPNDMScheduler", **NO_BETAS}, "tells no betas (IPNDMScheduler)"),
    "no class": ({"_class_name": None, **NO_BETAS}, "tells no betas (no _class_name)"),
    "half of the betas": ({"beta_end": None}, "tells no betas"),
    "shifted": ({"_class_name": "CogVideoXDDIMScheduler", "snr_shift_scale": 3.0}, "shifted noise levels"),
}


@pytest.mark.parametrize("kind", FAMILIES)
def test_other_noise_is_named(tiny_copy: Path, kind: str) -> None:
    values, family = FAMILIES[kind]
    message = refusal(scheduler(tiny_copy, **values))
    assert family in message
    assert "damaged" not in message


DDPM = "PNDM DDPM DDIM EulerDiscrete EulerAncestralDiscrete LMSDiscrete DPMSolverMultistep UniPCMultistep"
DDPM += " HeunDiscrete KDPM2Discrete DEISMultistep LCM TCD"


@pytest.mark.parametrize("name", DDPM.split())
def test_every_scheduler_of_ddpms_noise_tells_its_levels(name: str, tmp_path: Path) -> None:
    """abar from the betas of the config, by its definition; saved by the scheduler's own class."""
    import diffusers

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of numpy, in some of the classes
        made = getattr(diffusers, f"{name}Scheduler")(
            beta_schedule="linear", beta_start=0.001, beta_end=0.01, prediction_type="v_prediction"
        )
    made.save_pretrained(tmp_path / "scheduler")
    check(tmp_path / "scheduler", "x")
    read = parts.read_scheduler(tmp_path)
    assert read.config.prediction_type == "v_prediction"
    wanted = torch.cumprod(1 - torch.linspace(0.001, 0.01, 1000, dtype=torch.float64), 0)
    # a product of up to 1000 float32 numbers
    torch.testing.assert_close(read.alphas_cumprod.double(), wanted, rtol=1000 * 2**-24, atol=0)


@pytest.mark.parametrize(
    "values", [{"trained_betas": [0.001] * 1000}, {"beta_schedule": "squaredcos_cap_v2", "beta_start": None}]
)
def test_betas_told_otherwise(tiny_copy: Path, values: dict[str, Any]) -> None:
    abar = load_prior(str(scheduler(tiny_copy, **values))).traits.alphas_cumprod
    assert abar.shape == (1000,)
    assert bool((abar.diff() < 0).all())


def test_an_unknown_schedule_is_not_damaged(tiny_copy: Path) -> None:
    message = refusal(scheduler(tiny_copy, beta_schedule="sigmoid"))
    assert "beta_schedule 'sigmoid'; sctd knows linear" in message
    assert "damaged" not in message


@pytest.mark.parametrize("text", ["[1, 2", "[]", ""])
def test_a_damaged_scheduler(tiny_copy: Path, text: str) -> None:
    (tiny_copy / "scheduler" / "scheduler_config.json").write_text(text)
    assert "its scheduler is missing or damaged" in refusal(tiny_copy)


def test_families_from_configs_alone() -> None:
    plain = {"_class_name": "EDMLikeName", "beta_schedule": "linear", "beta_start": 0.1, "beta_end": 0.2}
    assert other_family(plain) is None


def zero_snr(betas: torch.Tensor) -> torch.Tensor:
    """Lin et al. 2023, algorithm 1: sqrt(abar) shifted and scaled to end at 0 and begin as before."""
    root = torch.cumprod(1 - betas, 0).sqrt()
    return ((root - root[-1]) * root[0] / (root[0] - root[-1])) ** 2


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
def test_zero_terminal_snr(tiny_copy: Path, prediction: str) -> None:
    prior = load_prior(str(scheduler(tiny_copy, rescale_betas_zero_snr=True, prediction_type=prediction)))
    betas = torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.float64) ** 2
    wanted = zero_snr(betas)
    assert prior.traits.alphas_cumprod[-1] == 0
    torch.testing.assert_close(prior.traits.alphas_cumprod, wanted, rtol=2e-3, atol=1e-7)
    schedule = Schedule(prior.traits.alphas_cumprod, 998)
    assert schedule.level(998).alpha > 0
    z = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    assert schedule.weights(998, 788, SctdSettings(), z).isfinite().all()
    out = prior.predict(z, 998, prior.encode_text(["a"]))
    assert noise_in(schedule, z, out, 998, prediction).isfinite().all()
    with pytest.raises(InputError, match=r"no signal left at timestep 999 .*t_max to at most 998"):
        Schedule(prior.traits.alphas_cumprod, 999)
