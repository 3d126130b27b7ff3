"""The step: repeatable, indifferent to native threads, and deaf to numbers that are not finite."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
import torch
from small import ORIGINAL, small_config, small_prior, small_run

from sctd import ops
from sctd.cameras import orbit_cameras
from sctd.config import load_config
from sctd.errors import InputError, PromptError, TrainingFailure
from sctd.gaussians import from_points
from sctd.machine.device import resolve
from sctd.methods.base import Guidance
from sctd.pipeline import generate
from sctd.prior.analytic import AnalyticPrior
from sctd.render import render
from sctd.run.folder import LOG, read_log
from sctd.trainer import BAD_STEPS_IN_A_ROW, Trainer, _likely_cause, random_streams

pytestmark = pytest.mark.usefixtures("one_torch_thread")


def state_of(trainer: Trainer) -> dict[str, torch.Tensor]:
    parts = trainer.checkpoint(0.0).tensors
    return {f"{part}.{name}": t.clone() for part, named in parts.items() for name, t in named.items()}


def assert_same_bits(got: dict[str, torch.Tensor], wanted: dict[str, torch.Tensor]) -> None:
    assert got.keys() == wanted.keys()
    for name, tensor in wanted.items():
        assert torch.equal(got[name], tensor), f"{name} differs"


@pytest.mark.parametrize("overrides", [(), ORIGINAL], ids=["relocate", "original"])
def test_same_seed_same_bits_other_seed_other_asset(tmp_path: Path, overrides: tuple[str, ...]) -> None:
    first, second = (small_run(tmp_path / name, 12, *overrides) for name in ("a", "b"))
    other = small_run(tmp_path / "c", 12, *overrides, seed=8)
    assert first.asset_ply.read_bytes() == second.asset_ply.read_bytes()
    assert first.asset_ply.read_bytes() != other.asset_ply.read_bytes()


def test_native_threads_do_not_change_a_bit(tmp_path: Path) -> None:
    before = ops.get_num_threads()
    try:
        assets = [
            small_run(
                tmp_path / str(n), 8, f"threads={n}", "cameras.size=48", "gaussians.count=600"
            ).asset_ply.read_bytes()
            for n in (1, 2)
        ]
    finally:
        ops.set_num_threads(before)
    assert assets[0] == assets[1]


def test_a_step_moves_every_parameter_and_logs_the_method() -> None:
    # the noise on the scales matters here: rotating a round Gaussian changes nothing
    overrides = ("densify.strategy=none", "gaussians.scale_noise_probability=1")
    trainer = Trainer(small_config(10, *overrides), small_prior())
    before = state_of(trainer)
    scalars = trainer.step()
    after = state_of(trainer)
    for name in ("means", "scales", "quats", "opacities", "sh0"):
        assert not torch.equal(before[f"gaussians.{name}"], after[f"gaussians.{name}"]), name
    assert {
        "t",
        "s",
        "e",
        "weight",
        "self_consistency",
        "cross_consistency",
        "loss",
        "tv_rgb",
    } <= scalars.keys()
    assert trainer.iteration == 1


def test_reconstruction_is_used_every_so_many_iterations() -> None:
    overrides = ("regularisers.reconstruction=1", "regularisers.reconstruction_every=3", "sctd.as_latent=0")
    trainer = Trainer(small_config(10, *overrides), small_prior())
    assert ["reconstruction" in trainer.step() for _ in range(7)] == [True, False, False] * 2 + [True]


def test_restore_goes_back_to_every_bit() -> None:
    trainer = Trainer(small_config(20), small_prior())
    for _ in range(6):
        trainer.step()
    saved = trainer.checkpoint(0.0)
    saved = dataclasses.replace(
        saved, tensors={p: {n: t.clone() for n, t in named.items()} for p, named in saved.tensors.items()}
    )
    for _ in range(6):
        trainer.step()
    wanted = state_of(trainer)

    other = Trainer(small_config(20), small_prior())
    other.restore(saved)
    for _ in range(6):
        other.step()
    assert_same_bits(state_of(other), wanted)


def test_methods_share_cameras_under_one_seed() -> None:
    """A draw from one stream leaves the others where they are."""
    one, two = random_streams(3), random_streams(3)
    torch.randn(5, generator=one["method"])
    assert torch.equal(torch.rand(4, generator=one["cameras"]), torch.rand(4, generator=two["cameras"]))
    assert not torch.equal(torch.rand(4, generator=one["scene"]), torch.rand(4, generator=two["cameras"]))


def poison(trainer: Trainer, bad_iterations: range, offender: str | None) -> None:
    """Make the method's gradient NaN in some iterations, or so large that the backward pass overflows."""
    honest = trainer.method

    def method(z0, cameras, iteration, generator):  # type: ignore[no-untyped-def]
        guidance = honest(z0, cameras, iteration, generator)
        if iteration not in bad_iterations:
            return guidance
        if offender is None:  # finite, but the sums of the backward pass are not
            return Guidance(torch.full_like(guidance.grad, 3e38), guidance.scalars)
        grad = guidance.grad.clone()
        grad[0, 0, 0, 0] = float("nan")
        return Guidance(grad, guidance.scalars, lambda: {"z0": z0, offender: grad})

    trainer.method = method


@pytest.mark.parametrize("offender", ["zhat_s", None], ids=["method", "backward pass"])
def test_a_step_that_is_not_finite_changes_nothing_and_is_counted(offender: str | None) -> None:
    trainer = Trainer(small_config(40, "sctd.as_latent=0"), small_prior())
    poison(trainer, range(2, 5), offender)
    trainer.step()
    trainer.step()
    before = state_of(trainer)
    for k in range(3):
        scalars = trainer.step()
        assert scalars["skipped"] == k + 1
        assert scalars["offender"] == (offender or "gradient of means")
        assert scalars["t"] > 0
    after = state_of(trainer)
    for name, tensor in before.items():
        if not name.startswith("rng."):  # the draws of a skipped step are spent
            assert torch.equal(after[name], tensor), name
    trainer.step()
    assert trainer.skipped == 3
    assert trainer.skipped_in_a_row == 0
    assert all(bool(torch.isfinite(p).all()) for p in trainer.gaussians.parameters().values())


def test_every_norm_has_a_name() -> None:
    """Also the last, of the method's gradient, which is finite at its own width and may not be at Adam's."""
    trainer = Trainer(small_config(40), small_prior())
    launched = trainer.launch()
    norms = launched.numbers.get()["norms"].clone()
    norms[-1] = float("inf")
    assert trainer._skip(launched, norms)["offender"] == "gradient of z0"


def test_ten_bad_steps_in_a_row_end_the_run() -> None:
    trainer = Trainer(small_config(40), small_prior())
    poison(trainer, range(1, 40), "eps_cond")
    for _ in range(BAD_STEPS_IN_A_ROW):
        trainer.step()
    with pytest.raises(
        TrainingFailure, match=r"10 iterations in a row.*'eps_cond'.*in float32 too; choose another"
    ):
        trainer.step()


@pytest.mark.parametrize(
    ("dtype", "says"),
    [(torch.float16, "set dtype=float32"), (torch.float32, "in float32 too; choose another")],
)
def test_the_advice_is_not_what_is_set_already(dtype: torch.dtype, says: str) -> None:
    for offender in ("z0", "eps_cond"):
        assert says in _likely_cause(offender, dtype)
    assert ("float32" in _likely_cause("gradient of means", dtype)) == (dtype == torch.float16)


@pytest.mark.parametrize("good", [None, 1])
def test_a_run_of_skipped_steps_alone_is_no_success(good: int | None) -> None:
    """Fewer than end a run in its middle; one that counts is enough."""
    trainer = Trainer(small_config(3), small_prior())
    trainer.check_any_step()
    poison(trainer, [i for i in range(3) if i != good], "eps_cond")
    for _ in range(3):
        trainer.step()
    if good is not None:
        trainer.check_any_step()
        return
    with pytest.raises(
        TrainingFailure, match=r"all 3 iterations gave numbers that are not finite.*'eps_cond'"
    ):
        trainer.check_any_step()


def test_no_asset_of_skipped_steps_alone(tmp_path: Path) -> None:
    """Neither at the end of the run nor of its continuation, which does no step of its own."""

    class Broken:
        def __init__(self) -> None:
            self.inner = small_prior()

        def __getattr__(self, name: str) -> object:
            return getattr(self.inner, name)

        def encode_images(self, images: torch.Tensor, noise: torch.Tensor | None = None) -> torch.Tensor:
            return self.inner.encode_images(images, noise) * float("nan")

    config, out = small_config(3), tmp_path / "run"
    with pytest.raises(TrainingFailure, match=r"all 3 iterations .*'z0'"):
        generate(config, out, prior=Broken())  # type: ignore[arg-type]
    with pytest.raises(TrainingFailure, match="all 3 iterations"):
        generate(config, out, resume=True, prior=Broken())  # type: ignore[arg-type]
    assert not (out / "asset.ply").exists()


def test_parameters_that_ran_away_are_named() -> None:
    trainer = Trainer(small_config(40, "sctd.as_latent=0"), small_prior())
    with torch.no_grad():
        trainer.gaussians.sh0[3] = float("nan")
    assert trainer.step()["offender"] == "rendering"


def test_the_failed_run_keeps_its_checkpoints_and_log(tmp_path: Path) -> None:
    class Broken:
        """Right until iteration 7, then NaN."""

        def __init__(self) -> None:
            self.inner, self.calls = small_prior(), 0

        def __getattr__(self, name: str) -> object:
            return getattr(self.inner, name)

        def encode_images(self, images: torch.Tensor, noise: torch.Tensor | None = None) -> torch.Tensor:
            self.calls += 1
            return self.inner.encode_images(images, noise) * (1.0 if self.calls <= 7 else float("nan"))

    with pytest.raises(TrainingFailure, match="'z0'"):
        generate(small_config(40), tmp_path / "run", prior=Broken())  # type: ignore[arg-type]
    # the skipped iterations 8 to 16 came by the checkpoints at 10 and 15: those hold the last good Gaussians
    saved = sorted(p.name for p in (tmp_path / "run" / "checkpoints").iterdir())
    assert saved == ["0000010.safetensors", "0000015.safetensors"]
    rows = read_log(tmp_path / "run" / LOG)
    assert [r["offender"] for r in rows if "offender" in r] == ["z0"] * (BAD_STEPS_IN_A_ROW - 1)
    assert not (tmp_path / "run" / "asset.ply").exists()


def test_log_is_plain_json(tmp_path: Path) -> None:
    small_run(tmp_path / "run", 3)
    rows = [json.loads(line) for line in (tmp_path / "run" / LOG).read_text().splitlines()]
    assert [row["iteration"] for row in rows] == [0, 1, 2]
    assert all(row["gaussians"] >= 40 and row["seconds"] >= 0 for row in rows)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"method": "magic"}, "unknown"),
        ({"prompt": "a green cube"}, "none of the words"),
        ({"device": "cuda:99"}, "CUDA device"),
    ],
)
def test_what_cannot_run_leaves_nothing_behind(tmp_path: Path, change: dict[str, str], message: str) -> None:
    config = small_config(3).model_copy(update=change)
    with pytest.raises((InputError, PromptError), match=message):
        generate(config, tmp_path / "deep" / "run", prior=small_prior())
    assert list(tmp_path.iterdir()) == []


def test_resume_and_overwrite_exclude_each_other(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="exclude each other"):
        generate(small_config(3), tmp_path / "run", resume=True, overwrite=True, prior=small_prior())


def test_resume_refuses_other_settings(tmp_path: Path) -> None:
    small_run(tmp_path / "run", 3)
    with pytest.raises(InputError, match=r"optim\.means\.start"):
        small_run(tmp_path / "run", 3, "optim.means.start=0.5", resume=True)
    result = small_run(tmp_path / "run", 3, "output.contact_views=3", resume=True)  # pictures may differ
    assert result.contact_png is not None
    assert result.page_html == tmp_path / "run" / "asset.html"


def test_the_page_is_left_out_when_it_is_switched_off(tmp_path: Path) -> None:
    result = small_run(tmp_path / "run", 3, "output.page=false")
    assert result.page_html is None
    assert not (tmp_path / "run" / "asset.html").exists()


def test_resolve_device() -> None:
    assert resolve("cpu") == torch.device("cpu")
    assert resolve("auto").type in ("cpu", "cuda")
    assert load_config(prompt="x").device == "cpu"


def test_distillation_finds_the_object_of_the_prompt() -> None:
    """The prior knows a red and a blue ball on white; asked for the red one, a grey cloud becomes it."""
    cameras, white = orbit_cameras(4, 15.0, 3.0, 40.0, 16), torch.ones(4, 3)
    pictures, empty = [], AnalyticPrior(torch.zeros(1, 4, 4, 4), torch.ones(1), torch.ones(1), {})
    for color in ((0.9, 0.1, 0.1), (0.1, 0.1, 0.9)):
        ball = from_points(
            torch.zeros(1, 3), torch.tensor([color]), opacity=0.99, scale_factor=6.0, sh_degree=0
        )
        pictures.append(render(ball, cameras, white).rgb)
    red, blue = pictures
    means = torch.stack([empty.encode_images(p)[0] for p in pictures])
    prior = AnalyticPrior(means, torch.full((2,), 0.1), torch.ones(2), {"red": [0], "blue": [1]})
    # Guidance of 1: more would go past the mixture's component, as it is meant to.
    overrides = (
        "sctd.guidance_scale=1",
        "sctd.as_latent=0",
        "background.kind=fixed",
        "cameras.radius=[3, 3]",
    )
    plain = (
        "gaussians.scale_noise_probability=0",
        "regularisers.tv_rgb=0",
        "regularisers.reconstruction=0",  # this decoder knows only blocks of one colour
        "densify.strategy=none",
    )
    trainer = Trainer(small_config(120, *overrides, *plain, "gaussians.count=60"), prior)

    def error(picture: torch.Tensor) -> float:
        return float((render(trainer.gaussians.detach(), cameras, white).rgb - picture).square().mean())

    start = error(red)
    while trainer.iteration < 120:
        trainer.step()
    assert error(red) < 0.25 * start
    assert error(red) < 0.15 * error(blue)
