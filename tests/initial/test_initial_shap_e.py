"""Shap-E by diffusers' own pipeline, with random weights in a folder: loaded, run, decoded, refused."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from diffusers import ShapEPipeline
from diffusers.pipelines.shap_e.renderer import MeshDecoder
from tiny_shap_e import marching_cubes, write_shap_e

from sctd.config.asset import GaussianSettings
from sctd.errors import InputError
from sctd.gaussians import SH_C0, Gaussians
from sctd.initial.start import initialise
from sctd.prior.load.parts import quiet


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_shap_e(tmp_path_factory.mktemp("shap-e") / "tiny")


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def start(folder: Path, prompt: str = "red ball", *, seed: int = 0, **settings: object) -> Gaussians:
    small = {"init": "shap-e", "shap_e": str(folder), "shap_e_steps": 3, "shap_e_grid": 12, "count": 200}
    chosen = GaussianSettings.model_validate({**small, **settings})
    return initialise(chosen, torch.Generator().manual_seed(seed), prompt=prompt)


def test_points_are_on_the_surface_that_the_pipeline_decodes(folder: Path) -> None:
    """Each point is in a triangle of diffusers' mesh, turned to y up, and has its corners' colours."""
    made = start(folder, init_fit=False)
    with quiet():
        pipeline = ShapEPipeline.from_pretrained(folder)
        latents = pipeline(
            "red ball",
            num_inference_steps=3,
            guidance_scale=15.0,
            generator=torch.Generator().manual_seed(0),
            output_type="latent",
        ).images
    mesh = pipeline.shap_e_renderer.decode_to_mesh(latents, "cpu", grid_size=12)
    x, y, z = mesh.verts.double().unbind(1)
    corners = torch.stack((x, z, -y), dim=1)[mesh.faces]
    linear = torch.stack([mesh.vertex_channels[c] for c in "RGB"], dim=1).double()[mesh.faces]

    # barycentric weights of every point in every triangle's plane, by least squares
    sides = (corners[:, 1:] - corners[:, :1]).transpose(1, 2)
    offsets = made.means.double()[:, None] - corners[:, 0]
    ab = torch.einsum("fij,nfj->nfi", torch.linalg.pinv(sides), offsets)
    weights = torch.cat((1 - ab.sum(2, keepdim=True), ab), dim=2)
    away = (torch.einsum("fij,nfj->nfi", sides, ab) - offsets).norm(dim=2) + (-weights).clamp_min(0).sum(2)
    near, triangle = away.min(1)
    assert float(near.max()) < 1e-5
    mixed = (weights[torch.arange(200), triangle][:, :, None] * linear[triangle]).sum(1)
    encoded = torch.where(mixed <= 0.0031308, 12.92 * mixed, 1.055 * mixed.clamp_min(0) ** (1 / 2.4) - 0.055)
    torch.testing.assert_close(0.5 + SH_C0 * made.sh0[:, 0], encoded.float(), atol=1e-3, rtol=0)


def test_prompt_and_seed_decide_alone(folder: Path) -> None:
    made, again = start(folder), start(folder)
    for name, tensor in made.parameters().items():
        assert torch.equal(tensor, again.parameters()[name])
    assert len(made) == 200
    assert float(made.means.norm(dim=1).max()) <= 0.6 + 1e-6  # fitted into init_radius
    for other in (start(folder, "blue cube"), start(folder, seed=1), start(folder, shap_e_guidance=1.0)):
        assert not torch.equal(made.sh0, other.sh0)


def test_a_text_too_long_for_it_is_refused(folder: Path) -> None:
    """diffusers cuts it off, and says so where nobody reads it."""
    words = "ab" * 11  # a token a letter, and start and end
    start(folder, init_prompt=words)
    with pytest.raises(InputError, match=r"Shap-E has 25 tokens, it reads 24; .*gaussians\.init_prompt"):
        start(folder, init_prompt=words + "a")


def test_tables_of_the_tiny_folder_close_a_sphere() -> None:
    """What stands in for a real folder's tables makes closed surfaces: a side has two triangles."""
    decoder = MeshDecoder()
    decoder.cases, decoder.masks = marching_cubes()
    axis = torch.linspace(-1, 1, 16)
    distance = 0.6 - torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij")).norm(dim=0)
    mesh = decoder(distance, torch.full((3,), -1.0), torch.full((3,), 2.0))
    assert (mesh.verts.norm(dim=1) - 0.6).abs().max() < 0.02
    sides = torch.cat([mesh.faces[:, pair] for pair in ([0, 1], [1, 2], [2, 0])]).sort(dim=1).values
    assert (sides.unique(dim=0, return_counts=True)[1] == 2).all()


def test_an_empty_shape(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"Shap-E made an empty shape.*another seed.*--init ball"):
        start(write_shap_e(tmp_path / "empty", distance=-50.0))


@pytest.mark.parametrize("part", ["prior", "text_encoder", "tokenizer", "scheduler", "shap_e_renderer"])
@pytest.mark.parametrize("fault", ["missing", "damaged"])
def test_a_damaged_folder(folder: Path, tmp_path: Path, part: str, fault: str) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(folder, broken)
    if fault == "missing":
        shutil.rmtree(broken / part)
    else:
        for file in (broken / part).iterdir():
            file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    with pytest.raises(InputError, match=f"Shap-E .*broken: its {part} is missing or damaged") as caught:
        start(broken)
    assert "\n" not in str(caught.value)


def test_a_weight_that_is_missing_is_not_made_up(folder: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    broken = tmp_path / "broken"
    shutil.copytree(folder, broken)
    (file,) = (broken / "prior").glob("*.safetensors")
    weights = load_file(file)
    weights.pop("proj_in.weight")
    save_file(weights, file, metadata={"format": "pt"})
    with pytest.raises(InputError, match=r"its prior is missing or damaged \(1 weights missing.*proj_in"):
        start(broken)


def test_weights_that_are_not_finite(folder: Path, tmp_path: Path) -> None:
    """NaN in the colours' rows of the last layer; the shape itself is there."""
    from safetensors.torch import load_file, save_file

    broken = tmp_path / "broken"
    shutil.copytree(folder, broken)
    (file,) = (broken / "shap_e_renderer").glob("*.safetensors")
    weights = load_file(file)
    weights["mlp.mlp.2.bias"][3:6] = float("nan")
    save_file(weights, file, metadata={"format": "pt"})
    with pytest.raises(InputError, match="Shap-E made a shape that is not finite; its weights are damaged"):
        start(broken)


def test_no_folder_and_no_hub_id() -> None:
    with pytest.raises(InputError, match=r"is no folder and no hub id; set gaussians\.shap_e"):
        start(Path("/nowhere/at all"))


def test_auto_takes_shap_e_where_it_is_and_a_ball_where_it_is_not(folder: Path, tmp_path: Path) -> None:
    small = {"init": "auto", "shap_e_steps": 3, "shap_e_grid": 12, "count": 200, "init_radius": 0.5}
    said: list[str] = []
    prompt = "a DSLR photo of a red ball wearing a hat"
    there = GaussianSettings(**small, shap_e=str(folder))  # type: ignore[arg-type]
    made = initialise(there, seeded(), prompt=prompt, say=said.append)
    assert said == ["starting from what Shap-E makes of 'a red ball'"]
    by_name = there.model_copy(update={"init": "shap-e", "init_prompt": "a red ball"})
    assert torch.equal(made.means, initialise(by_name, seeded(), prompt="anything").means)

    said.clear()
    gone = there.model_copy(update={"shap_e": str(tmp_path / "nothing here")})
    ball = initialise(gone, seeded(), prompt=prompt, say=said.append)
    assert len(said) == 1
    assert said[0].startswith("starting from a ball of radius 0.5, which gives worse shapes: Shap-E ")
    plain = there.model_copy(update={"init": "ball"})
    assert torch.equal(ball.means, initialise(plain, seeded()).means)
    with pytest.raises(InputError, match="Shap-E"):
        initialise(gone.model_copy(update={"init": "shap-e"}), seeded(), prompt=prompt)
