"""A prior that is told cameras: what it is told, under which texts, alone and together with others."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny import WIDTH, views_from, write_folder
from torch import Tensor

from sctd.batch.sharing.shared import SharedPrior
from sctd.cameras import Viewpoints, orbit_cameras
from sctd.config import load_config
from sctd.config.sctd import SctdSettings
from sctd.config.views import PerpNegSettings, ViewSettings
from sctd.errors import InputError
from sctd.methods import get
from sctd.prior import load_prior
from sctd.prior.base import Prior
from sctd.prior.graphs import GraphedNetwork
from sctd.prior.views import FEATURES, camera_features
from sctd.text import ViewTexts
from sctd.trainer import Trainer


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("cameras")
    return write_folder(root / "told", "v_prediction", labels=FEATURES + WIDTH)


@pytest.fixture
def prior(folder: Path) -> Prior:
    return load_prior(str(folder))


def _latents(n: int, seed: int = 0) -> Tensor:
    return torch.randn(n, 4, 8, 8, generator=torch.Generator().manual_seed(seed))


def _labels_seen(prior: Any) -> list[Tensor]:
    """Class labels of every call of the UNet from now on."""
    seen: list[Tensor] = []
    prior._unet.register_forward_pre_hook(
        lambda module, inputs, named: seen.append(named["class_labels"]), with_kwargs=True
    )
    return seen


def test_features_of_a_camera_by_hand() -> None:
    camera = Viewpoints(
        *(torch.tensor([x]) for x in (0.5, 0.3, 3.63, math.radians(43))), torch.full((1, 3), 0.95)
    )
    waves = [f(k * 0.5) for k in (1, 2, 3, 4, 6) for f in (np.sin, np.cos)]
    waves += [f(k * 0.3) for k in (1, 2, 4) for f in (np.sin, np.cos)]
    level = [np.cos(0.3) * np.sin(0.5), np.cos(0.3) * np.cos(0.5)]
    expected = [*waves, *level, math.log(1.1) / 0.1, 1.0, 1.0, 1.0]
    got = camera_features(camera)
    assert got.shape == (1, FEATURES)
    np.testing.assert_allclose(got[0].numpy(), expected, atol=1e-5)


def test_turned_once_round_a_camera_is_the_same() -> None:
    torch.testing.assert_close(
        camera_features(views_from(0.4)), camera_features(views_from(0.4 + 2 * math.pi)), atol=1e-5, rtol=0
    )


def test_the_unet_is_given_the_camera_and_the_whole_texts_embedding(prior: Prior) -> None:
    seen = _labels_seen(prior)
    text, views = prior.encode_text(["red", "blue"]), views_from(0.4, 2.0)
    told = prior.predict(_latents(2), 300, text, prior.encode_cameras(views))
    untold = prior.predict(_latents(2), 300, text)
    torch.testing.assert_close(seen[0][:, :FEATURES], camera_features(views))
    torch.testing.assert_close(seen[0][:, FEATURES:], text[:, -1])
    assert torch.equal(seen[1][:, :FEATURES], torch.zeros(2, FEATURES))
    assert not torch.allclose(told, untold)


def test_words_of_a_view_are_left_out(prior: Prior) -> None:
    texts = ViewTexts.encode(prior, "red", "", ViewSettings())
    for row in texts.views:
        torch.testing.assert_close(row, prior.encode_text(["red"])[0])


@pytest.mark.parametrize("name", ["sctd", "sds", "csd", "ism", "cds", "gcs"])
def test_every_text_of_every_method_is_under_the_camera(prior: Prior, name: str) -> None:
    seen, views = _labels_seen(prior), views_from(0.4, 2.0)
    config = load_config("embedded", None, ["sctd.exact_null=true"], prompt="red")
    texts = ViewTexts.encode(prior, "red", "bad", ViewSettings())
    method = get(name)(prior, texts, getattr(config, name), iterations=10, seed=0)
    assert method(_latents(2), views, 3, torch.Generator().manual_seed(1)).offender is None
    assert seen
    for labels in seen:
        features = labels[:, :FEATURES]
        torch.testing.assert_close(features, camera_features(views).repeat(len(labels) // 2, 1))


def test_the_trainer_tells_the_cameras_and_the_background_that_it_drew(prior: Any) -> None:
    small = ["cameras.size=16", "cameras.batch=2", "gaussians.count=20", "background.kind=fixed"]
    config = load_config("embedded", None, [*small, "background.color=[0.6,0.6,0.6]"], prompt="red")
    trainer = Trainer(config, prior)
    told: list[Viewpoints] = []
    own = prior.encode_cameras
    prior.encode_cameras = lambda views: (told.append(views), own(views))[1]
    trainer.step()
    assert len(told) == 1
    assert torch.equal(told[0].background, torch.full((2, 3), 0.6))
    turn = (told[0].azimuth[1] - told[0].azimuth[0]) % (2 * math.pi)
    assert float(turn) == pytest.approx(math.pi, abs=1e-5)  # evenly spaced
    assert bool(((told[0].radius >= 3.1) & (told[0].radius <= 3.5)).all())


def test_perp_neg_needs_words_and_is_refused(prior: Prior) -> None:
    texts = ViewTexts.encode(prior, "red", "", ViewSettings())
    settings = SctdSettings(perp_neg=PerpNegSettings(enabled=True))
    with pytest.raises(InputError, match="perp_neg"):
        get("sctd")(prior, texts, settings, iterations=10, seed=0)


def test_class_labels_of_another_kind_are_refused(tmp_path: Path) -> None:
    write_folder(tmp_path / "other", labels=FEATURES + WIDTH + 1)
    with pytest.raises(InputError, match="more than a text"):
        load_prior(str(tmp_path / "other"))


def test_runs_that_share_a_prior_are_each_told_their_own_cameras(prior: Prior) -> None:
    def run(azimuth: float, seed: int) -> Any:
        def predict(seat: Prior) -> Tensor:
            text, cameras = seat.encode_text(["red"]), seat.encode_cameras(views_from(azimuth, azimuth + 1))
            return seat.predict(_latents(2, seed), 300, text.expand(2, -1, -1), cameras)

        return predict

    runs = [run(0.1, 1), run(2.5, 2)]
    shared = SharedPrior(prior, lambda text: None, exact=False)
    jobs = [shared.start(function) for function in runs]
    for _ in range(10):
        shared.advance()
    for job, function in zip(jobs, runs, strict=True):
        torch.testing.assert_close(job.result, function(prior), rtol=1e-4, atol=1e-5)


def test_a_recorded_network_is_given_labels_too() -> None:
    class Now:
        def record(self, call: Any) -> tuple[Any, Tensor]:
            out = call()
            return lambda: out.copy_(call()), out

    network = GraphedNetwork(lambda *inputs: sum(x.sum() for x in inputs) + inputs[0], Now())  # type: ignore[arg-type]
    z, t, text = torch.ones(1, 2), torch.tensor(3.0), torch.ones(1, 1, 2)
    without, zeros, ones = (
        network(z, t, text, *more) for more in ((), (torch.zeros(1, 2),), (torch.ones(1, 2),))
    )
    assert torch.equal(without, zeros)
    assert torch.equal(ones, zeros + 2)
    assert len(network) == 2


def test_cameras_know_their_viewpoints() -> None:
    cameras = orbit_cameras(4, 15.0, 3.3, 40.0, 8)
    views = cameras.over(torch.full((4, 3), 0.5))
    assert len(views) == 4
    assert torch.equal(views[1:3].azimuth, cameras.azimuth[1:3])
    assert torch.equal(views[1:3].background, torch.full((2, 3), 0.5))
