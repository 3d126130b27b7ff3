"""What the captions of every world have in common: the words of a view, and how their tokenizer is made."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Iterable
from pathlib import Path

from sctd.config.views import OVERHEAD_ELEVATION_DEG
from sctd.embedded.words import VIEW_WORDS


def view_of(azimuth: float, elevation: float) -> str:
    """Name of the view (front, left, right, back, overhead) nearest to a camera direction, rad."""
    if math.degrees(elevation) >= OVERHEAD_ELEVATION_DEG:
        return "overhead"
    turn = (math.degrees(azimuth) + 180) % 360 - 180
    if abs(turn) <= 45:
        return "front"
    if abs(turn) >= 135:
        return "back"
    return "left" if turn > 0 else "right"


def with_view(caption: str, view: str, rng: random.Random) -> str:
    """The caption with the words of a view, mostly "<caption>, <view>" as the trainer says it."""
    name = "side" if view in ("left", "right") and rng.random() < 0.35 else view
    words = rng.choice(VIEW_WORDS[name]) if rng.random() < 0.4 else VIEW_WORDS[name][0]
    return f"{caption}, {words}" if rng.random() < 0.8 else f"{words} of {caption}"


def write_tokenizer(folder: Path, captions: Iterable[str], length: int) -> None:
    """Train a byte-level BPE on a world's captions, in which every word is one token, and write it as a CLIP
    tokenizer.

    Args:
        captions: of :meth:`sctd.embedded.world.World.every_caption`.
        length: of a text in tokens, start and end included.
    """
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE(unk_token="<|endoftext|>", end_of_word_suffix="</w>"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.WhitespaceSplit(),
            pre_tokenizers.Punctuation(),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=4096,
        min_frequency=2,
        initial_alphabet=alphabet,
        end_of_word_suffix="</w>",
        show_progress=False,
    )
    tokenizer.train_from_iterator(captions, trainer)
    model = json.loads(tokenizer.to_str())["model"]
    merges = [" ".join(pair) if isinstance(pair, list) else pair for pair in model["merges"]]
    pieces = [*alphabet, *(f"{byte}</w>" for byte in alphabet), *(merge.replace(" ", "") for merge in merges)]
    vocabulary = {
        piece: i for i, piece in enumerate([*dict.fromkeys(pieces), "<|startoftext|>", "<|endoftext|>"])
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.json").write_text(json.dumps(vocabulary, ensure_ascii=False), encoding="utf-8")
    (folder / "merges.txt").write_text("#version: 0.2\n" + "\n".join(merges) + "\n", encoding="utf-8")
    config = {
        "tokenizer_class": "CLIPTokenizer",
        "model_max_length": length,
        "bos_token": "<|startoftext|>",
        "eos_token": "<|endoftext|>",
        "unk_token": "<|endoftext|>",
        "pad_token": "<|endoftext|>",
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=1), encoding="utf-8")
