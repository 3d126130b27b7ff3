"""CLIP scores: the arithmetic on vectors with a known answer, the real path with a CLIP of random weights."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from judges import LENGTH, write_clip

from sctd.errors import InputError
from sctd.evaluate.clip import VIEWS, Clip, score_embeddings, scores
from sctd.evaluate.report import Judges

X, Y, Z = torch.eye(3)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clip(tmp_path_factory.mktemp("judges") / "clip")


def test_a_janus_is_seen_off_the_front_only() -> None:
    """Views at 0, 45, ..., 315 degrees; those at 45 and 315 belong to the front quarter."""
    fronts = torch.tensor([1, 1, 0, 0, 1, 0, 0, 1], dtype=torch.bool)
    views = torch.where(fronts[:, None], X, Y)
    found = score_embeddings(views, X[None], torch.stack((X, Y, Z)))
    assert found.janus == pytest.approx(1 / 5)  # the one at 180, of 90, 135, 180, 225 and 270
    assert found.clip == pytest.approx(50)
    assert found.r_precision is None


def test_r_precision_is_the_share_of_views_nearest_to_their_own_prompt() -> None:
    views = torch.stack((X, X, X, Y))
    found = score_embeddings(views, torch.stack((X, Y, Z)), torch.stack((X, Y, Z)))
    assert found.r_precision == pytest.approx(0.75)


def test_a_folder_is_loaded_and_agrees_with_the_model_itself(folder: Path) -> None:
    from transformers import CLIPModel, CLIPProcessor

    clip = Clip.load(str(folder))
    assert clip.image_size == 32
    images = torch.randint(256, (VIEWS, 40, 40, 3), dtype=torch.uint8)
    found = scores(clip, images, "a red ball", ["a red ball", "a cube", "a cube"])

    model, processor = CLIPModel.from_pretrained(folder), CLIPProcessor.from_pretrained(folder)
    inputs = processor(
        text=["a red ball", "a cube"], images=list(images.numpy()), return_tensors="pt", padding=True
    )
    with torch.no_grad():
        logits = model(**inputs).logits_per_image
    cosine = logits / model.logit_scale.detach().exp()
    assert found.clip == pytest.approx(100 * float(cosine[:, 0].mean()), abs=1e-4)
    assert found.r_precision == pytest.approx(float((cosine[:, 0] > cosine[:, 1]).float().mean()))
    assert 0 <= found.janus <= 1


def test_long_prompts_are_cut_as_clip_scores_do_and_it_is_said(folder: Path) -> None:
    clip = Clip.load(str(folder))
    assert torch.equal(clip.texts(["a" * 200]), clip.texts(["a" * 100]))
    said: list[str] = []
    fits = "a" * (LENGTH - 2)  # a token a letter, and start and end
    Judges(clip=clip).say_what_is_cut([fits, fits + "a", "b" * 200], said.append)
    assert said == [f"--clip does not read 2 of 3 prompts to the end, first: {fits}a"]
    Judges(clip=clip).say_what_is_cut([fits], said.append)
    assert len(said) == 1


def test_what_cannot_be_loaded_is_one_line(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such folder, and no hub id"):
        Clip.load(str(tmp_path / "nothing"))
    with pytest.raises(InputError, match="cannot be loaded") as caught:
        Clip.load(str(tmp_path))
    assert "If you were" not in str(caught.value), "half of a loader's advice"
    no_words = shutil.copytree(folder, tmp_path / "no_words")
    for name in ("tokenizer.json", "vocab.json", "merges.txt"):
        (no_words / name).unlink(missing_ok=True)
    with pytest.raises(InputError, match="cannot be loaded"):
        Clip.load(str(no_words))


def test_pickled_or_incomplete_weights_are_refused(folder: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    copy = shutil.copytree(folder, tmp_path / "clip")
    weights = load_file(copy / "model.safetensors")
    (copy / "model.safetensors").unlink()
    torch.save(weights, copy / "pytorch_model.bin")
    with pytest.raises(InputError, match="cannot be loaded"):
        Clip.load(str(copy))
    del weights["visual_projection.weight"]
    save_file(weights, copy / "model.safetensors", {"format": "pt"})
    with pytest.raises(InputError, match=r"1 weights are missing, first visual_projection\.weight"):
        Clip.load(str(copy))


def test_a_hub_that_cannot_be_reached_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub

    def unreachable(*_: object, **__: object) -> str:  # a stand-in for a machine without a network
        raise OSError("no route\nto the hub")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", unreachable)
    with pytest.raises(InputError, match=r"not in the cache, and the hub did not give it \(no route\)"):
        Clip.load("owner/model")
