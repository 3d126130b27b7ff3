"""T3Bench's protocol: the sphere of cameras, the averaging, and scoring with models of random weights."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch
from judges import write_blip, write_clip

from sctd.config import load_config
from sctd.errors import InputError
from sctd.evaluate.t3bench import FOVS_DEG, RADIUS, Reward, averaged, cameras, icosphere, quality
from sctd.gaussians import Gaussians
from sctd.initial.start import initialise


def ball(shift: float = 0.0) -> Gaussians:
    settings = load_config(
        prompt="x", overrides=["gaussians.count=60", "gaussians.init_opacity=0.5"]
    ).gaussians
    made = initialise(settings, torch.Generator().manual_seed(0))
    made.means.data += shift
    return made


def test_the_sphere_has_162_vertices_and_480_edges() -> None:
    vertices, neighbours = icosphere()
    assert vertices.shape == (162, 3)
    torch.testing.assert_close(vertices.norm(dim=1), torch.ones(162, dtype=torch.float64))
    assert sorted(len(near) for near in neighbours) == [5] * 12 + [6] * 150
    assert sum(map(len, neighbours)) == 2 * 480  # Euler: 162 - 480 + 320 = 2
    assert all(i in neighbours[j] for i, near in enumerate(neighbours) for j in near)
    assert torch.cdist(vertices, vertices).fill_diagonal_(9).min() > 0.25  # none twice
    assert vertices.sum(0).abs().max() < 1e-12


def test_averaging_by_hand() -> None:
    """A path of three: each round takes the mean of a score and its neighbours'."""
    path = [[1], [0, 2], [1]]
    once = averaged(torch.tensor([6.0, 0.0, 0.0]), path, rounds=1)
    assert once.tolist() == [3, 2, 0]
    assert averaged(torch.tensor([6.0, 0.0, 0.0]), path, rounds=2).tolist() == pytest.approx([2.5, 5 / 3, 1])


def test_one_lucky_view_is_worth_little() -> None:
    vertices, neighbours = icosphere()
    scores = torch.zeros(len(vertices))
    scores[20] = 1.0
    assert 0.05 < float(averaged(scores, neighbours).max()) < 0.2
    assert float(averaged(torch.ones(len(vertices)), neighbours).max()) == pytest.approx(1)


def test_cameras_look_at_the_object_wherever_it_is() -> None:
    asset = ball(shift=3.0)
    batch = cameras(asset, 45.0, size=32)
    centre = asset.means.detach().mean(0)
    extent = (asset.means.detach() - centre).abs().max()
    seen = batch.viewmats[:, :3, :3] @ centre + batch.viewmats[:, :3, 3]
    torch.testing.assert_close(seen[:, :2], torch.zeros(162, 2), atol=1e-4, rtol=0)
    torch.testing.assert_close(seen[:, 2], (RADIUS * extent).expand(162), rtol=1e-5, atol=0)
    assert torch.isfinite(batch.viewmats).all()
    assert float(batch.fovy[0]) == pytest.approx(math.pi / 4)
    up = batch.viewmats[:, 1, 1]  # the camera's y points down
    assert (up < 1e-6).all()


def test_an_invisible_asset_is_refused() -> None:
    asset = ball()
    asset.opacities.data.fill_(-9.0)
    with pytest.raises(InputError, match="nothing to look at"):
        cameras(asset, 45.0)


@pytest.mark.parametrize("write", [write_clip, write_blip])
def test_a_reward_model_scores_an_asset(tmp_path: Path, write: object) -> None:
    """The number is the averaged maximum over the fields of view of what the model says itself."""
    from sctd.render import render_images

    assert callable(write)
    reward = Reward.load(write(tmp_path / "reward"))
    asset = ball()
    found = quality(asset, "a ball", reward, size=16)
    views = [render_images(asset, cameras(asset, fov, 16), (0.0, 0.0, 0.0)) for fov in FOVS_DEG]
    each = torch.stack([reward("a ball", images).double() for images in views])
    assert each.shape == (5, 162)
    assert each.std() > 0
    assert found == pytest.approx(float(averaged(each.amax(0), icosphere()[1]).max()))


def test_clip_as_a_reward_gives_its_logit(tmp_path: Path) -> None:
    from transformers import CLIPModel, CLIPProcessor

    folder = write_clip(tmp_path / "reward")
    images = torch.randint(256, (3, 32, 32, 3), dtype=torch.uint8)
    model, processor = CLIPModel.from_pretrained(folder), CLIPProcessor.from_pretrained(folder)
    with torch.no_grad():
        inputs = processor(text=["a ball"], images=list(images.numpy()), return_tensors="pt", padding=True)
        expected = model(**inputs).logits_per_image[:, 0]
    torch.testing.assert_close(Reward.load(folder)("a ball", images), expected)


def test_other_makes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such folder"):
        Reward.load(tmp_path / "nothing")
    with pytest.raises(InputError, match="names an architecture"):
        Reward.load(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"architectures": ["BertModel"]}))
    with pytest.raises(InputError, match=r"a BertModel is not known .* CLIPModel, BlipForImageTextRetrieval"):
        Reward.load(tmp_path)
