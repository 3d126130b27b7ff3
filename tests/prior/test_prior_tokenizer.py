"""Tokenizers: whole ones are read, those with nothing in them and those of other models are refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from published import edit
from transformers import CLIPTokenizer

from sctd.errors import InputError
from sctd.prior import load_prior
from sctd.prior.load.parts import one_part, read_tokenizer


def with_words(folder: Path) -> Path:
    """Merges for red and ball, as CLIP's tokenizer has them for its words."""
    tokenizer = folder / "tokenizer"
    vocabulary = json.loads((tokenizer / "vocab.json").read_text())
    merges = ["r e", "re d</w>", "b a", "l l</w>", "ba ll</w>"]
    tokens = [*list(vocabulary)[:-2], *(m.replace(" ", "") for m in merges), *list(vocabulary)[-2:]]
    (tokenizer / "vocab.json").write_text(json.dumps({token: i for i, token in enumerate(tokens)}))
    (tokenizer / "merges.txt").write_text("#version: 0.2\n" + "\n".join(merges) + "\n")
    return folder


def as_one_file(folder: Path) -> Path:
    """As newer programs save it."""
    tokenizer = CLIPTokenizer.from_pretrained(folder / "tokenizer", local_files_only=True)
    for path in (folder / "tokenizer").iterdir():
        path.unlink()
    tokenizer.save_pretrained(folder / "tokenizer")
    return folder / "tokenizer" / "tokenizer.json"


def without_merges(folder: Path) -> None:
    path = as_one_file(folder)
    tree = json.loads(path.read_text())
    tree["model"]["merges"] = []
    path.write_text(json.dumps(tree))


def without_vocabulary(folder: Path) -> None:
    path = as_one_file(folder)
    tree = json.loads(path.read_text())
    tree["model"] |= {"merges": [], "vocab": {"<|endoftext|>": 0, "<|startoftext|>": 1}}
    tree["added_tokens"] = []
    path.write_text(json.dumps(tree))


@pytest.mark.parametrize("one", [False, True])
def test_a_whole_tokenizer(tiny_copy: Path, one: bool) -> None:
    with_words(tiny_copy)
    if one:
        as_one_file(tiny_copy)
    assert read_tokenizer(tiny_copy).tokenize("red ball") == ["red</w>", "ball</w>"]


def emptied(name: str, text: str) -> Callable[[Path], object]:
    return lambda folder: (folder / "tokenizer" / name).write_text(text)


def nothing_left(folder: Path) -> None:
    for path in (folder / "tokenizer").iterdir():
        path.unlink()


EMPTY: dict[str, tuple[Callable[[Path], object], str]] = {
    "an empty merges.txt": (emptied("merges.txt", ""), "merges do not make the words"),
    "merges.txt of a line": (emptied("merges.txt", "#version: 0.2\n"), "merges do not make the words"),
    "no merges in tokenizer.json": (without_merges, "merges do not make the words"),
    "an empty vocab.json": (emptied("vocab.json", "{}"), "its tokenizer is missing or damaged"),
    "no vocabulary in tokenizer.json": (without_vocabulary, "its vocabulary has 2 tokens"),
    "an empty folder": (nothing_left, "its vocabulary has 2 tokens"),
    "an empty config": (emptied("tokenizer_config.json", "{}"), "no tokenizer_config.json with a model_max"),
}


@pytest.mark.parametrize("kind", EMPTY)
def test_tokenizers_with_nothing_in_them(tiny_copy: Path, kind: str) -> None:
    damage, message = EMPTY[kind]
    damage(with_words(tiny_copy))
    with pytest.raises(InputError) as caught:
        one_part("x", "tokenizer", lambda: read_tokenizer(tiny_copy))
    assert "its tokenizer is missing or damaged" in str(caught.value)
    assert message in str(caught.value)
    assert "1000000000" not in str(caught.value)


def test_a_tokenizer_of_another_text_encoder(tiny_copy: Path) -> None:
    with pytest.raises(InputError, match=r"its tokenizer has 519 tokens .*514 and 24; .*different models"):
        load_prior(str(with_words(tiny_copy)))


def test_longer_texts_than_the_text_encoder_has_places(tiny_copy: Path) -> None:
    edit(tiny_copy / "tokenizer" / "tokenizer_config.json", model_max_length=77)
    with pytest.raises(InputError, match=r"texts of 77, its text encoder 514 and 24"):
        load_prior(str(tiny_copy))
