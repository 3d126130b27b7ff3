"""The shipped weights of the embedded prior: a diffusers folder, float16 on disk, float32 at work."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from diffusers import AutoencoderKL
    from transformers import CLIPTokenizer

    from sctd.embedded.networks import TextAndUNet

FOLDER = Path(__file__).parent / "weights"
CARD = "card.json"  # facts of the training and of its evaluation, beside the weights


def load_pipeline(folder: Path = FOLDER) -> Any:
    """The embedded prior as diffusers' StableDiffusionPipeline, float32, silent.

    Raises:
        InputError: missing or damaged weights.
    """
    import torch

    from sctd.prior.parts import load_folder

    parts = load_folder(folder, "embedded", torch.float32)
    return _pipeline(parts.vae, parts.text_encoder, parts.unet, parts.tokenizer, parts.scheduler)


def _pipeline(vae: Any, text_encoder: Any, unet: Any, tokenizer: Any, scheduler: Any) -> Any:
    from sctd.prior.parts import quiet

    with quiet():
        from diffusers import StableDiffusionPipeline

        pipeline = StableDiffusionPipeline(
            vae=vae,
            text_encoder=text_encoder,
            tokenizer=tokenizer,
            unet=unet,
            scheduler=scheduler,
            safety_checker=None,
            feature_extractor=None,
            requires_safety_checker=False,
        )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def save_weights(vae: AutoencoderKL, model: TextAndUNet, tokenizer: CLIPTokenizer, folder: Path) -> None:
    """Write the diffusers folder: every file to a temporary folder first, then renamed into place."""
    from sctd.embedded.networks import new_scheduler
    from sctd.prior.parts import quiet

    pipeline = _pipeline(vae, model.text_encoder, model.unet, tokenizer, new_scheduler())
    temporary = folder.with_name(folder.name + ".tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    for name in ("vae", "unet", "text_encoder"):
        getattr(pipeline, name).half()
    with quiet():
        pipeline.save_pretrained(temporary, safe_serialization=True)
    for name in ("vae", "unet", "text_encoder"):
        getattr(pipeline, name).float()
    for beside in (CARD, "recogniser.safetensors"):
        if (folder / beside).exists():
            shutil.copy(folder / beside, temporary / beside)
    shutil.rmtree(folder, ignore_errors=True)
    temporary.rename(folder)


def read_card(folder: Path = FOLDER) -> dict[str, Any]:
    """Facts of card.json, empty when there is none."""
    path = folder / CARD
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else {}


def write_card(facts: dict[str, Any], folder: Path = FOLDER) -> None:
    """Add facts to card.json."""
    text = json.dumps({**read_card(folder), **facts}, indent=1)
    (folder / CARD).write_text(text + "\n", encoding="utf-8")
