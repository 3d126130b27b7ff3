"""CLIP and BLIP folders of a few thousand random weights, made and saved with transformers' own classes."""

from __future__ import annotations

from pathlib import Path

import torch
from tiny import write_tokenizer
from transformers import (
    BertTokenizer,
    BlipConfig,
    BlipForImageTextRetrieval,
    BlipImageProcessor,
    BlipProcessor,
    CLIPConfig,
    CLIPImageProcessor,
    CLIPModel,
    CLIPProcessor,
    CLIPTokenizer,
)

from sctd.prior.load.parts import quiet

SIZE, LENGTH, WIDTH = 32, 24, 16
_LAYERS = {"hidden_size": WIDTH, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}


def write_clip(folder: Path) -> Path:
    """A CLIP whose tokens are bytes; pictures of 32 x 32."""
    write_tokenizer(folder / "bytes")
    tokenizer = CLIPTokenizer.from_pretrained(folder / "bytes")
    text = {**_LAYERS, "vocab_size": len(tokenizer), "max_position_embeddings": LENGTH}
    text |= {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id}
    vision = {**_LAYERS, "image_size": SIZE, "patch_size": 8}
    torch.manual_seed(0)
    model = CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=8))
    with quiet():
        pictures = CLIPImageProcessor(size={"shortest_edge": SIZE}, crop_size={"height": SIZE, "width": SIZE})
        CLIPProcessor(pictures, tokenizer).save_pretrained(folder)
    model.save_pretrained(folder)
    return folder


def write_blip(folder: Path) -> Path:
    """A BLIP that matches pictures and texts."""
    folder.mkdir(parents=True)
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *(chr(c) for c in range(33, 127))]
    words += [f"##{chr(c)}" for c in range(33, 127)]
    (folder / "vocab.txt").write_text("\n".join(words) + "\n")
    text = {
        **_LAYERS,
        "vocab_size": len(words),
        "max_position_embeddings": LENGTH,
        "encoder_hidden_size": WIDTH,
    }
    text |= {"bos_token_id": 2, "pad_token_id": 0, "eos_token_id": 3, "sep_token_id": 3, "projection_dim": 8}
    vision = {**_LAYERS, "image_size": SIZE, "patch_size": 8}
    text["initializer_range"] = vision["initializer_range"] = 0.3  # BLIP's own leaves no trace of the picture
    torch.manual_seed(0)
    config = BlipConfig(text_config=text, vision_config=vision, projection_dim=8, image_text_hidden_size=8)
    with quiet():
        pictures = BlipImageProcessor(size={"height": SIZE, "width": SIZE})
        tokenizer = BertTokenizer.from_pretrained(folder)
        BlipProcessor(pictures, tokenizer).save_pretrained(folder)
    BlipForImageTextRetrieval(config).save_pretrained(folder)
    return folder
