"""The shipped weights of the embedded prior: a diffusers folder, float16 on disk, float32 in memory."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "weights"
CARD = "card.json"  # facts of the training and of its evaluation, beside the weights


def load_pipeline(folder: Path = FOLDER) -> Any:
    """The embedded prior as diffusers' StableDiffusionPipeline, float32, silent.

    Raises:
        InputError: missing or damaged weights.
    """
    import torch

    from sctd.prior.load.parts import load_folder

    parts = load_folder(folder, "embedded", torch.float32)
    return pipeline_of(parts.vae, parts.text_encoder, parts.unet, parts.tokenizer, parts.scheduler)


def pipeline_of(vae: Any, text_encoder: Any, unet: Any, tokenizer: Any, scheduler: Any) -> Any:
    """Loaded parts as diffusers' StableDiffusionPipeline."""
    from sctd.prior.load.parts import quiet

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


def read_card(folder: Path = FOLDER) -> dict[str, Any]:
    """Facts of card.json, empty when there is none."""
    path = folder / CARD
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else {}


def write_card(facts: dict[str, Any], folder: Path = FOLDER) -> None:
    """Add facts to card.json."""
    text = json.dumps({**read_card(folder), **facts}, indent=1)
    (folder / CARD).write_text(text + "\n", encoding="utf-8")
