"""Textual inversions: words with vectors of their own; Gal et al. 2022, "An image is worth one word"."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from sctd.config.prior import split_word
from sctd.errors import InputError
from sctd.prior.load.headers import read_header
from sctd.prior.load.inversion_keys import key_of


def add(texts: Sequence[str], tokenizer: Any, text_encoder: Any, name: str) -> Callable[[str], str]:
    """Gives the tokenizer a token and the text encoder a row for each vector of the files.

    Args:
        texts: of the settings, each PATH or PATH:WORD.
        name: what errors call the prior.

    Returns:
        What puts the tokens where a text has one of the words: as a whole word, in any case, since CLIP's
        tokenizer knows no capitals.

    Raises:
        InputError: a file does not fit the prior, or two have the same word; the message names the file.
    """
    tokens: dict[str, str] = {}
    for text in texts:
        file, asked = split_word(text)
        path = Path(file).expanduser()
        key, word = key_of(read_header(path), file, asked)
        if word.lower() in tokens:
            raise InputError(
                f"textual inversion {file}: another one has the word {word!r} too; give it as {file}:WORD"
            )
        vectors = _vectors(load_file(path)[key], text_encoder, file, name)
        tokens[word.lower()] = _append(word, vectors, tokenizer, text_encoder)
    return _replacer(tokens)


def _vectors(given: Tensor, text_encoder: Any, file: str, name: str) -> Tensor:
    """[n, width]; InputError where the prior's text encoder reads others."""
    vectors: Tensor = torch.atleast_2d(given)
    width = text_encoder.get_input_embeddings().embedding_dim
    if vectors.dim() != 2 or vectors.shape[1] != width or not vectors.is_floating_point():
        raise InputError(
            f"textual inversion {file} does not fit prior {name}: its vectors are "
            f"{' x '.join(map(str, given.shape))}, the prior's words {width} wide; use one made for it"
        )
    if not bool(torch.isfinite(vectors.float()).all()):
        raise InputError(f"textual inversion {file} has values that are not finite; give a sound file")
    return vectors


def _append(word: str, vectors: Tensor, tokenizer: Any, text_encoder: Any) -> str:
    """Tokens for a word's vectors, as a text: no prompt has them, and the tokenizer takes each as it is."""
    from transformers import AddedToken

    names = [f"<|{word}:{i}|>" for i in range(len(vectors))]
    tokenizer.add_tokens([AddedToken(name, normalized=False) for name in names])
    rows = tokenizer.convert_tokens_to_ids(names)
    old = text_encoder.get_input_embeddings().weight
    table = old.new_zeros(max(len(old), max(rows) + 1), old.shape[1])
    table[: len(old)] = old.detach()
    table[rows] = vectors.to(table)
    text_encoder.set_input_embeddings(nn.Embedding.from_pretrained(table))
    return " ".join(names)


def _replacer(tokens: Mapping[str, str]) -> Callable[[str], str]:
    words = sorted(tokens, key=len, reverse=True)
    any_word = re.compile("|".join(f"({_alone(word)})" for word in words), re.I)

    def expand(text: str) -> str:
        return any_word.sub(
            lambda m: tokens[words[(m.lastindex or 1) - 1]], unicodedata.normalize("NFC", text)
        )

    return expand


def _alone(word: str) -> str:
    """A pattern for the word with no letter or digit at its ends, unless it ends in a mark of its own."""
    before = r"(?<!\w)" if re.match(r"\w", word) else ""
    after = r"(?!\w)" if re.search(r"\w$", word) else ""
    return before + re.escape(word) + after
