"""The table of prior families: how to recognise each, and the code that loads it. Loads no torch.

A family is one entry. Code is named as "module:name", so that none is loaded before it is needed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from sctd.config.prior import ANALYTIC, EMBEDDED
from sctd.registry import named


class Family(NamedTuple):
    """Priors that the same code loads."""

    title: str
    """Name in messages: "an SDXL model"."""
    make: str | None
    """A function of :class:`PriorSettings`, :class:`sctd.prior.load.sources.Source`, torch device and dtype
    that gives the :class:`Prior`; None: the family is recognised, and refused."""
    world: str | None = None
    """A function that gives the world to which prompts are confined, an object with ``check_prompt``."""
    pipeline: str = ""
    """Pattern of the class that a folder's model_index.json names."""
    parts: tuple[str, ...] = ()
    """Parts that folders of no other family in the rest of the table have."""
    tensors: str = ""
    """Pattern of tensors that single files of no other family have."""

    def seen_in(self, index: Mapping[str, Any]) -> str | None:
        """The entry of a model_index.json that identifies this family; None: it is another one."""
        name = str(index.get("_class_name", ""))
        part = next((part for part in self.parts if part in index), None)
        return part or (name if self.pipeline and re.search(self.pipeline, name) else None)


STABLE_DIFFUSION = Family("Stable Diffusion 1.x or 2.x", "sctd.prior.load.loader:stable_diffusion")
"""Every folder and file that no entry of :data:`OTHERS` recognises."""

BUILT_IN: Mapping[str, Family] = {
    EMBEDDED: STABLE_DIFFUSION._replace(world="sctd.embedded.world:world_of"),
    ANALYTIC: Family("the analytic prior", "sctd.prior.toy:make"),
}
"""By name."""

OTHERS = (
    Family("a Flux model", None, pipeline="Flux", tensors=r"(model\.diffusion_model\.)?double_blocks\."),
    Family("a Stable Diffusion 3 model", None, tensors=r"(model\.diffusion_model\.)?joint_blocks\."),
    Family("a transformer model", None, parts=("transformer",)),
    Family(
        "an SDXL model",
        None,
        pipeline="XL",
        parts=("text_encoder_2",),
        tensors=r"conditioner\.embedders\.|model\.diffusion_model\.label_emb\.",
    ),
)
"""In the order in which they are tried."""


_WORLD_OF_FOLDER = "sctd.embedded.world:world_on_card"


def family_of_folder(index: Mapping[str, Any]) -> Family:
    """The family of a folder in diffusers' layout, from its model_index.json."""
    return next((family for family in OTHERS if family.seen_in(index)), STABLE_DIFFUSION)


def family_of_file(tensors: Iterable[str]) -> Family:
    """The family of a single file, from the names of its tensors."""
    names = list(tensors)
    for family in OTHERS:
        if family.tensors and any(re.match(family.tensors, name) for name in names):
            return family
    return STABLE_DIFFUSION


def check_prompt(name: str, prompt: str) -> None:
    """Raises :class:`sctd.errors.PromptError` where the prior of this name knows another world.

    Weights of `sctd prior train` are known by their card, wherever they lie.
    """
    family = BUILT_IN.get(name)
    if family is not None and family.world is not None:
        named(family.world)().check_prompt(prompt)
    elif family is None:
        world = named(_WORLD_OF_FOLDER)(Path(name))
        if world is not None:
            world.check_prompt(prompt)
