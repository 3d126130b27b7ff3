"""Textual inversions: where a prompt has their words, with which vectors, and which files are refused."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from tiny import LENGTH, WIDTH

from sctd.config.prior import PriorSettings, split_weight, split_word
from sctd.errors import InputError, PromptError
from sctd.prior import load_prior
from sctd.prior.load import inversion, sources
from sctd.prior.load.parts import Parts, load_folder


@pytest.fixture(scope="module")
def base(tiny_folder: Path) -> Parts:
    """Read only."""
    return load_folder(tiny_folder, "tiny", torch.float32)


class Reader:
    """A copy of the base's tokenizer and text encoder with words added to them."""

    def __init__(self, base: Parts, *texts: str) -> None:
        self.tokenizer, self.encoder = copy.deepcopy(base.tokenizer), copy.deepcopy(base.text_encoder)
        self.expand = inversion.add(texts, self.tokenizer, self.encoder, "tiny")

    def ids(self, text: str) -> list[int]:
        """Without the marks at both ends."""
        return self.tokenizer(self.expand(text)).input_ids[1:-1]

    def vectors(self, text: str) -> torch.Tensor:
        """What the text encoder reads, [tokens, width]."""
        return self.encoder.get_input_embeddings().weight[self.ids(text)]


def vectors(count: int, width: int = WIDTH, seed: int = 3) -> torch.Tensor:
    return torch.randn(count, width, generator=torch.Generator().manual_seed(seed))


def word_file(path: Path, key: str = "<duck>", count: int = 2, width: int = WIDTH, seed: int = 3) -> str:
    save_file({key: vectors(count, width, seed)}, path)
    return str(path)


def plain(base: Parts, text: str) -> list[int]:
    return base.tokenizer(text).input_ids[1:-1]


@pytest.mark.parametrize("count", [1, 2, 5])
@pytest.mark.parametrize(
    "word", ["<duck>", "duck", "My-Duck", "DUCK", "duck!", "ente_2", "Ärger", "red duck"]
)
def test_the_word_is_its_vectors_in_any_case(base: Parts, tmp_path: Path, word: str, count: int) -> None:
    reader = Reader(base, word_file(tmp_path / "a.safetensors", word, count))
    for written in (word, word.lower(), word.upper(), word.title()):
        found = reader.vectors(f"a {written}, red")
        torch.testing.assert_close(found[1 : 1 + count], vectors(count))
        assert reader.ids(f"a {written}, red")[1 + count :] == plain(base, ", red")


@pytest.mark.parametrize(
    "text", ["concatenation", "a cats", "xcat", "cat2", "the category", "cat_1", "bobcat", "écat", "caté"]
)
def test_a_word_inside_another_is_none(base: Parts, tmp_path: Path, text: str) -> None:
    reader = Reader(base, word_file(tmp_path / "a.safetensors", "cat"))
    assert reader.ids(text) == plain(base, text)


@pytest.mark.parametrize(
    "text", ["cat", "a cat, red", "(cat)", "cat.", "cat's", "cat-like", "a\u00a0cat", "CAT"]
)
def test_a_word_beside_marks_is_one(base: Parts, tmp_path: Path, text: str) -> None:
    reader = Reader(base, word_file(tmp_path / "a.safetensors", "cat", 2))
    new = {len(base.tokenizer), len(base.tokenizer) + 1}
    assert sum(i in new for i in reader.ids(text)) == 2


def test_a_word_several_times_and_beside_another(base: Parts, tmp_path: Path) -> None:
    one = word_file(tmp_path / "a.safetensors", "cat", 2, seed=1)
    other = word_file(tmp_path / "b.safetensors", "cat house", 3, seed=2)
    reader = Reader(base, one, other)
    a, b = vectors(2, seed=1), vectors(3, seed=2)
    torch.testing.assert_close(reader.vectors("cat Cat cat house cat"), torch.cat((a, a, b, a)))


def test_other_texts_are_read_as_before(base: Parts, tmp_path: Path) -> None:
    reader = Reader(base, word_file(tmp_path / "a.safetensors"))
    assert reader.ids("a red mug") == plain(base, "a red mug")
    old = base.text_encoder.get_input_embeddings().weight
    assert torch.equal(reader.encoder.get_input_embeddings().weight[: len(old)], old)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_one_vector_without_a_row_of_its_own(base: Parts, tmp_path: Path, dtype: torch.dtype) -> None:
    value = vectors(1)[0].to(dtype)
    save_file({"<duck>": value}, tmp_path / "a.safetensors")
    reader = Reader(base, str(tmp_path / "a.safetensors"))
    torch.testing.assert_close(reader.vectors("<duck>"), value.float()[None])


@pytest.mark.parametrize("key", ["emb_params", "*", "string_to_param", "string_to_param.*"])
def test_files_that_do_not_name_their_word(base: Parts, tmp_path: Path, key: str) -> None:
    file = word_file(tmp_path / "a.safetensors", key)
    with pytest.raises(InputError, match=r"does not name its word; give it as .*a\.safetensors:WORD"):
        Reader(base, file)
    torch.testing.assert_close(Reader(base, f"{file}:quack").vectors("quack"), vectors(2))


def test_a_word_of_the_users_takes_the_files_place(base: Parts, tmp_path: Path) -> None:
    reader = Reader(base, word_file(tmp_path / "a.safetensors") + ":goose")
    torch.testing.assert_close(reader.vectors("goose"), vectors(2))
    assert reader.ids("<duck>") == plain(base, "<duck>")


def test_a_composed_letter_is_the_same_as_a_decomposed_one(base: Parts, tmp_path: Path) -> None:
    """A name that comes from a file system may be decomposed."""
    reader = Reader(base, word_file(tmp_path / "a.safetensors") + ":cafe\u0301")
    torch.testing.assert_close(reader.vectors("caf\u00e9"), vectors(2))
    torch.testing.assert_close(reader.vectors("cafe\u0301"), vectors(2))


def test_the_prior_reads_the_word(tiny_folder: Path, tmp_path: Path) -> None:
    file = word_file(tmp_path / "a.safetensors", "Duck", 4)
    prior, before = (
        load_prior(PriorSettings(name=str(tiny_folder), embeddings=[file])),
        load_prior(str(tiny_folder)),
    )
    assert torch.equal(prior.encode_text(["a mug"]), before.encode_text(["a mug"]))
    assert not torch.allclose(prior.encode_text(["a duck"]), before.encode_text(["a duck"]))
    assert torch.equal(prior.encode_text(["a duck"]), prior.encode_text(["a DUCK"]))
    prior.check_prompt("mug")
    with pytest.raises(PromptError, match=f"tokens, prior .* reads {LENGTH}; shorten it"):
        prior.check_prompt("duck " * (LENGTH // 4 + 1))


# -- what is refused --


def save(tmp_path: Path, **tensors: torch.Tensor) -> str:
    save_file(tensors, tmp_path / "a.safetensors")
    return str(tmp_path / "a.safetensors")


REFUSED: dict[str, tuple[Callable[[Path], list[str]], str]] = {
    "SDXL": (lambda t: [save(t, clip_l=vectors(1), clip_g=vectors(1))], "for Stable Diffusion XL"),
    "half of SDXL": (lambda t: [save(t, clip_g=vectors(1))], "for Stable Diffusion XL"),
    "another width": (
        lambda t: [word_file(t / "a.safetensors", width=8)],
        "2 x 8, the prior's words 16 wide",
    ),
    "a matrix of matrices": (lambda t: [save(t, a=torch.zeros(1, 2, WIDTH))], "1 x 2 x 16"),
    "whole numbers": (lambda t: [save(t, a=torch.zeros(1, WIDTH).int())], "does not fit"),
    "two words": (lambda t: [save(t, a=vectors(1), b=vectors(1))], "holds 2 tensors"),
    "nothing": (lambda t: [save(t)], "holds 0 tensors"),
    "not finite": (lambda t: [save(t, a=vectors(1) / 0)], "not finite"),
    "one word twice": (
        lambda t: [word_file(t / "b.safetensors", "Duck"), word_file(t / "a.safetensors", "dUCK")],
        "another one has the word",
    ),
    "a blank word": (lambda t: [word_file(t / "a.safetensors") + ": "], "is no word"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_refused(base: Parts, tmp_path: Path, kind: str) -> None:
    make, message = REFUSED[kind]
    with pytest.raises(InputError) as caught:
        Reader(base, *make(tmp_path))
    assert "\n" not in str(caught.value)
    assert message in str(caught.value)
    assert "a.safetensors" in str(caught.value)


@pytest.mark.parametrize("kind", ["SDXL", "two words", "a blank word"])
def test_refused_before_a_prior_is_looked_for(tmp_path: Path, kind: str) -> None:
    make, message = REFUSED[kind]
    with pytest.raises(InputError) as caught:
        sources.find(PriorSettings(name="owner/model", embeddings=make(tmp_path)))
    assert message in str(caught.value)


def test_paths_with_weights_and_words() -> None:
    assert split_weight("a.safetensors") == ("a.safetensors", 1)
    assert split_weight("C:/a.safetensors:0.25") == ("C:/a.safetensors", 0.25)
    assert split_weight("odd:name.safetensors") == ("odd:name.safetensors", 1)
    assert split_word("a:b.safetensors:<cat>") == ("a:b.safetensors", "<cat>")
    assert split_word("a:b.safetensors") == ("a:b.safetensors", None)
