"""The count of live tensors against hand and against a CPU, and the estimate made with it."""

from __future__ import annotations

import gc
from pathlib import Path

import pytest
import torch
import yaml
from shells import sphere
from small import small_config

from sctd.cameras import orbit_cameras
from sctd.config import Config, card_names, load_config
from sctd.errors import InputError
from sctd.mesh.trained.light import lighting
from sctd.mesh.trained.start import first_mesh
from sctd.mesh.trained.trained import TrainedMesh
from sctd.prior import card_memory as memory
from sctd.prior import load_prior
from sctd.prior.card_memory import META, Ledger, check, estimate_memory
from sctd.prior.scene_memory import scene_bytes

CPU = torch.device("cpu")


def config_of(prior: Path | str, *overrides: str, card: str | None = None) -> Config:
    return load_config("sd21", prompt="x", prior=str(prior), overrides=overrides, card=card)


def test_ledger_by_hand() -> None:
    ledger = Ledger()
    with ledger:
        a = torch.zeros(1000)  # 4000
        b = a + 1  # 8000
        view = b[10:].view(99, 10)  # no memory of its own
        b.mul_(2)
        assert (ledger.live, ledger.peak) == (8000, 8000)
        del a
        c = torch.zeros(250, dtype=torch.float64)  # 6000
        assert (ledger.live, ledger.peak) == (6000, 8000)
        del b
        assert ledger.live == 6000  # the view holds it
        del view, c
        assert (ledger.live, ledger.peak) == (0, 8000)


def test_ledger_sees_what_autograd_keeps() -> None:
    x, ledger = torch.rand(100, requires_grad=True), Ledger()
    with ledger:
        y = x.exp().sin().sum()  # exp keeps its result, sin its input, which is the same: 400; and the sum
        assert ledger.live == 400 + 4
        y.backward()
        del y
        gc.collect()
        assert ledger.live == 400  # the gradient


@pytest.mark.parametrize("vae", ["full", "sliced"])
def test_without_weights_it_counts_what_a_cpu_makes(tiny_folder: Path, vae: str) -> None:
    """The same passes with real numbers in real memory."""
    config = config_of(tiny_folder, f"prior.vae={vae}", "prior.text_cache=off")
    parts, assumed = memory._shapes(config)
    assert not assumed
    meta = memory.DiffusersPrior(parts, "x", META, torch.float32, settings=config.prior)
    real = load_prior(config.prior)
    assert isinstance(real, memory.DiffusersPrior)
    images, text = torch.rand(2, 3, 16, 16), torch.rand(2, 24, 16)
    counts = []
    for prior, device in ((meta, META), (real, CPU)):
        vae_, unet = Ledger(), Ledger()
        leaf = images.to(device).requires_grad_()
        with vae_:
            z = prior.encode_images(leaf)
            kept = vae_.live
            z.sum().backward()
        z, words = torch.rand(2, 4, 8, 8).to(device), text.to(device)
        with unet:
            prior.predict(z, 5, words)
        counts.append((kept, vae_.peak, unet.peak))
    for without, with_ in zip(*counts, strict=True):
        # attention is one operation on a CPU and many on the meta device: small here, all of it elsewhere
        assert without == pytest.approx(with_, rel=0.05)


def test_estimate_has_every_part_and_the_weights_to_the_byte(tiny_folder: Path) -> None:
    estimate = estimate_memory(config_of(tiny_folder))
    prior = load_prior(str(tiny_folder))
    for part, network in (
        ("UNet", prior._unet),
        ("VAE", prior._vae.module),
        ("text encoder", prior._text_encoder),
    ):
        assert estimate.parts[f"weights of the {part}"] == 2 * sum(p.numel() for p in network.parameters())
    assert not estimate.assumed
    assert estimate.total == sum(estimate.parts.values())
    assert f"{estimate.total / 2**30:.2f} GiB  together" in estimate.lines()[-1]
    assert (
        "weights of the text encoder"
        not in estimate_memory(config_of(tiny_folder, "prior.offload_text=true")).parts
    )


def test_estimate_follows_batch_gaussians_and_dtype(tiny_folder: Path) -> None:
    base = estimate_memory(config_of(tiny_folder))
    for override in ("cameras.batch=8", "densify.max_count=2000000", "cameras.size=1024"):
        assert estimate_memory(config_of(tiny_folder, override)).total > base.total
    wide = estimate_memory(config_of(tiny_folder), torch.float32)
    assert wide.parts["weights of the UNet"] == 2 * base.parts["weights of the UNet"]
    assert "1000000 Gaussians" in " ".join(base.parts)
    still = estimate_memory(config_of(tiny_folder, "densify.strategy=none"))
    assert "81920 Gaussians" in " ".join(still.parts)
    perp_neg = estimate_memory(config_of(tiny_folder, "sctd.perp_neg.enabled=true"))
    assert "UNet at batch 16" in " ".join(perp_neg.parts)


def test_of_stages_the_estimate_is_that_of_the_widest(tiny_folder: Path) -> None:
    mesh = "representation: mesh, cameras: {size: 1024}, surface: {shown: normals, resolution: 64}"
    base = config_of(tiny_folder, "cameras.size=64", "gaussians.count=1000", "densify.strategy=none")
    staged = base.with_changes(stages=[{"name": "a"}, yaml.safe_load(f"{{name: b, settings: {{{mesh}}}}}")])
    estimates = [estimate_memory(part) for part in staged.parts()]
    assert estimates[0] == estimate_memory(base)
    assert estimate_memory(staged) == estimates[1]
    assert estimates[1].total > 2 * estimates[0].total
    told = " ".join(estimates[1].lines())
    assert f"pictures of {4 * 2048**2} samples" in told
    assert "Gaussians" not in told


@pytest.mark.parametrize("kind", ["tetrahedra", "triangles"])
@pytest.mark.parametrize("shown", ["colors", "normals", "material"])
def test_a_mesh_takes_at_most_what_is_estimated_and_not_much_less(kind: str, shown: str) -> None:
    """A ball that fills its pictures."""
    overrides = (f"surface.kind={kind}", f"surface.shown={shown}", "surface.resolution=12", "cameras.size=96")
    small = ("surface.color_resolution=16", "surface.faces=400", "surface.views=16", "surface.view_size=64")
    config = small_config(2, "representation=mesh", "sctd.as_latent=0", *small, *overrides)
    first = first_mesh(sphere(torch.zeros(3), 0.5, count=400), config.surface)
    lighting(CPU)  # made once and for all
    gc.collect()
    ledger, generator = Ledger(), torch.Generator()
    with ledger:
        mesh = TrainedMesh(first, config)
        begun, ledger.peak = ledger.peak, ledger.live
        for i in range(2):
            picture = mesh.draw(
                orbit_cameras(2, 20.0, 3.0, 6.0, 96), torch.ones(2, 3), i, generator, disparity=False
            )
            losses = [picture.rgb if picture.latents is None else picture.latents]
            losses += [term.gradient * term.sums for term in mesh.terms(picture)]
            torch.stack([loss.sum() for loss in losses]).sum().backward()
            mesh.update(picture, i, torch.ones(1), generator)
            del picture, losses
    parts = scene_bytes(config)
    counted = max(begun, ledger.peak)
    assert 0.5 * sum(parts.values()) < counted <= sum(parts.values()), (begun, ledger.peak, parts)


@pytest.mark.parametrize("card", card_names())
def test_each_card_holds_the_default_prior_with_its_settings(
    card: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Stable Diffusion 2.1 base by its shapes: the estimate must be below what the card's preset allows."""
    monkeypatch.setattr(memory.loader, "folder_with_configs", lambda source: None)
    config = load_config("sd21", prompt="x", card=card)
    assert config.cameras.batch == 4  # the paper's, on every card
    estimate = estimate_memory(config)
    assert estimate.assumed
    assert config.prior.card_gib is not None
    assert config.prior.card_gib < float(card.removesuffix("gb"))
    assert estimate.total < config.prior.card_gib * 2**30
    check(config, CPU)


def test_cards_are_listed_small_first() -> None:
    assert card_names() == ["8gb", "12gb", "16gb", "24gb"]
    with pytest.raises(InputError, match="unknown card '9gb'; choose one of: 8gb, 12gb, 16gb, 24gb"):
        load_config("sd21", prompt="x", card="9gb")


def test_too_little_memory_is_one_line(tiny_folder: Path) -> None:
    check(config_of(tiny_folder), CPU)  # a CPU without a limit: nothing to say
    with pytest.raises(
        InputError, match=r"needs about \d+\.\d GiB on the card, 1\.0 GiB are .*lower cameras"
    ) as e:
        check(config_of(tiny_folder, "prior.card_gib=1"), CPU)
    assert "\n" not in str(e.value)
    check(config_of(tiny_folder, "prior.card_gib=20"), CPU)
