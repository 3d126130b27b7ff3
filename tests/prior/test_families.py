"""The table of prior families: recognised by the right marks, loaded by the code that is named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from sctd.errors import PromptError
from sctd.prior import families, load_prior
from sctd.prior.families import BUILT_IN, OTHERS, STABLE_DIFFUSION, Family, family_of_file, family_of_folder
from sctd.registry import named


@pytest.mark.parametrize(
    ("index", "title", "mark"),
    [
        ({"_class_name": "StableDiffusionPipeline", "unet": []}, STABLE_DIFFUSION.title, None),
        ({"_class_name": "StableDiffusionXLPipeline"}, "an SDXL model", "StableDiffusionXLPipeline"),
        ({"_class_name": "Other", "text_encoder_2": []}, "an SDXL model", "text_encoder_2"),
        (
            {"_class_name": "FluxPipeline", "text_encoder_2": [], "transformer": []},
            "a Flux model",
            "FluxPipeline",
        ),
        (
            {"_class_name": "Other", "text_encoder_2": [], "transformer": []},
            "a transformer model",
            "transformer",
        ),
    ],
)
def test_folders(index: dict[str, Any], title: str, mark: str | None) -> None:
    family = family_of_folder(index)
    assert (family.title, family.seen_in(index)) == (title, mark)


@pytest.mark.parametrize(
    ("tensor", "title"),
    [
        ("model.diffusion_model.input_blocks.0.0.weight", STABLE_DIFFUSION.title),
        ("model.diffusion_model.label_emb.0.0.weight", "an SDXL model"),
        ("double_blocks.0.img_mod.lin.weight", "a Flux model"),
        ("model.diffusion_model.joint_blocks.0.context_block.attn.qkv.weight", "a Stable Diffusion 3 model"),
    ],
)
def test_files(tensor: str, title: str) -> None:
    assert family_of_file(["first_stage_model.x", tensor]).title == title


def test_what_the_table_names_is_there() -> None:
    for family in (STABLE_DIFFUSION, *BUILT_IN.values(), *OTHERS):
        assert family.make is None or callable(named(family.make))
        assert family.world is None or hasattr(named(family.world)(), "check_prompt")


def test_the_embedded_prior_alone_knows_few_words() -> None:
    families.check_prompt("owner/model", "a bagel")
    families.check_prompt("analytic", "a bagel")
    with pytest.raises(PromptError, match="does not know"):
        families.check_prompt("embedded", "a bagel")


def make(settings: Any, source: Any, device: torch.device, dtype: torch.dtype) -> Any:
    """A family's code, for the test below."""
    return source.path.name, device.type, dtype


def test_an_entry_is_all_that_a_family_needs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    toy = Family("a toy model", f"{__name__}:make", pipeline="^Toy")
    monkeypatch.setattr(families, "OTHERS", (toy, *OTHERS))
    folder = tmp_path / "toy"
    folder.mkdir()
    (folder / "model_index.json").write_text(json.dumps({"_class_name": "ToyPipeline"}))
    assert load_prior(str(folder)) == ("toy", "cpu", torch.float32)
