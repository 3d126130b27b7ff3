"""Captions of the embedded world, with synonyms, word orders and the words of a view, and their tokenizer."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Iterable, Iterator
from itertools import product
from pathlib import Path

from sctd.config.views import OVERHEAD_ELEVATION_DEG
from sctd.embedded.words import SMALL, VIEW_WORDS, Subject

# {c} colour, {p} pattern as an adjective, {w} pattern as "with ...", {k} kind; empty ones close up.
_TEMPLATES = (
    "a {p} {c} {k} {w}",
    "a {c} {p} {k} {w}",
    "a {p} {c} {k} {w}",
    "{p} {c} {k} {w}",
    "the {c} {p} {k} {w}",
    "a photo of a {p} {c} {k} {w}",
    "a 3d model of a {p} {c} {k} {w}",
    "a rendering of a {c} {p} {k} {w}",
    "a {p} {k} {w} in {c}",
    "a {p} {k} {w} that is {c}",
)


def base_caption(subject: Subject, rng: random.Random) -> str:
    """One way to say a subject, without a view."""
    kinds, colors, patterns = (
        SMALL.kinds[subject.kind],
        SMALL.colors[subject.color],
        SMALL.patterns[subject.pattern],
    )
    kind = rng.choice(kinds) if rng.random() < 0.4 else subject.kind
    color = rng.choice(colors) if rng.random() < 0.3 else subject.color
    pattern = rng.choice(patterns) if rng.random() < 0.5 else patterns[0]
    with_pattern = pattern.startswith("with")
    text = rng.choice(_TEMPLATES if rng.random() < 0.6 else _TEMPLATES[:1]).format(
        c=color, p="" if with_pattern else pattern, w=pattern if with_pattern else "", k=kind
    )
    words = text.split()
    for i, word in enumerate(words[:-1]):
        if word == "a" and words[i + 1][0] in "aeiou":
            words[i] = "an"
    return " ".join(words)


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


def every_caption() -> Iterator[str]:
    """A stream that holds every word of the world many times; what the tokenizer is made from."""
    rng = random.Random(0)
    for kind, color, pattern, view in product(SMALL.kinds, SMALL.colors, SMALL.patterns, VIEW_WORDS):
        yield with_view(base_caption(Subject(kind, color, pattern), rng), view, rng)
    for table in (SMALL.kinds, SMALL.colors, SMALL.patterns, VIEW_WORDS):
        for synonyms in table.values():
            yield from (phrase for phrase in synonyms for _ in range(50) if phrase)


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
