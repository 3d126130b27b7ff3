"""The ladder's stand-ins say the truth where they should, and every rung can be climbed."""

from __future__ import annotations

import pytest
import torch

from benchmarks.ladder import (
    LEVELS,
    RUNGS,
    Oracle,
    Pixels,
    climb,
    denoised,
    ladder_subjects,
    random_viewpoints,
    sampled,
    true_latents,
)
from benchmarks.pages.ladder import markdown
from sctd.embedded.sample import load_sampler
from sctd.embedded.truth import psnr, truth_from
from sctd.embedded.world import WORLDS, world_named
from sctd.embedded.worlds.small.words import Subject
from sctd.prior.base import Prior
from sctd.schedule import Schedule
from sctd.solver import add_noise, clean

HOUSE = Subject("house", "green")


@pytest.fixture(scope="module")
def prior() -> Prior:
    return load_sampler()


def test_the_oracle_knows_what_the_prompt_shows_and_nothing_else(prior: Prior) -> None:
    generator, schedule = torch.Generator().manual_seed(0), Schedule(prior.traits.alphas_cumprod)
    views = random_viewpoints(2, generator)
    oracle = Oracle(prior, HOUSE)
    told = oracle.encode_cameras(views)
    assert told is not None
    cameras = told.repeat(2, 1)
    truth = true_latents(prior, HOUSE, views)
    noise = torch.randn(truth.shape, generator=generator)
    z = add_noise(schedule, truth, noise, 700).repeat(2, 1, 1, 1)
    text = prior.encode_text(["", "", "a green house", "a green house"])
    out = oracle.predict(z, 700, text, cameras)
    torch.testing.assert_close(out[:2], prior.predict(z, 700, text, cameras)[:2])
    guess = clean(schedule, z, out, 700, prior.traits.prediction)
    torch.testing.assert_close(guess[2:], truth, atol=1e-4, rtol=1e-4)
    picture = truth_from(HOUSE, views, prior.traits.image_size)[0]
    assert float(psnr(prior.decode(guess[2:]).clamp(0, 1), picture).min()) > 24
    assert torch.equal(Pixels(prior).encode_images(picture), picture)


def test_the_oracle_knows_the_empty_text_however_it_was_rounded(prior: Prior) -> None:
    """BLAS adds up a batch of two texts in another order than one text on some processors (MKL_CBWR=AVX2)."""
    oracle = Oracle(prior, HOUSE)
    oracle.encode_cameras(random_viewpoints(2, torch.Generator().manual_seed(0)))
    text = prior.encode_text(["", "a green house"])
    text[0] *= 1 + 1e-6
    z = torch.randn(2, *prior.traits.latent_shape, generator=torch.Generator().manual_seed(1))
    own, out = prior.predict(z, 700, text), oracle.predict(z, 700, text)
    torch.testing.assert_close(out[0], own[0])
    assert float((out[1] - own[1]).abs().max()) > 0.1


@pytest.mark.parametrize("rung", list(RUNGS))
def test_every_rung_gives_scores(prior: Prior, rung: str) -> None:
    scores, images = climb(rung, prior, HOUSE, 0, ["iterations=2", "gaussians.count=50"])
    assert 0 < scores["psnr"] < 60
    assert images.shape == (8, 3, prior.traits.image_size, prior.traits.image_size)


def test_errors_and_samples_are_measured_for_every_level_and_guidance(prior: Prior) -> None:
    levels = denoised(prior, [HOUSE])
    errors = [levels[str(t)]["prompt"] for t in LEVELS]
    assert errors == sorted(errors)  # the more noise, the less is known
    assert errors[-1] < levels[str(LEVELS[-1])]["''"] < 2 * levels[str(LEVELS[-1])]["spread"]
    (kinds,) = sampled(prior, [HOUSE], guidance=(2.0,), steps=4).values()
    assert 15 < kinds["house"] < 40


@pytest.mark.parametrize("name", list(WORLDS))
def test_prompts_are_none_of_those_that_results_are_reported_on(name: str) -> None:
    world = world_named(name)
    subjects = ladder_subjects(world, 8)
    assert len({subject.kind for subject in subjects}) == 8
    assert not {*map(str, subjects)} & {str(s) for s in (*world.evaluated(), *world.tuning())}


def test_the_page_has_every_rung_and_table() -> None:
    assets = {
        f"{rung} {seed}": {
            "rung": rung,
            "prompt": "a green house",
            "seed": seed,
            "psnr": 20.0 + seed,
            "iou": 0.9,
        }
        for rung in RUNGS
        for seed in (0, 1)
    }
    sampled = {"2": {"cat": 24.0, "cube": 26.0}}
    denoised = {"100": {"prompt": 0.1, "''": 0.2, "spread": 1.0}}
    text = markdown({"assets": assets, "sampled": sampled, "denoised": denoised})
    assert text.count("20.5 / 0.90") == 2 * len(RUNGS)
    assert "| 2 | 25.00 | cat 24.0, cube 26.0 |" in text
    assert "| 100 | 0.100 | 0.200 | 1.00 |" in text
