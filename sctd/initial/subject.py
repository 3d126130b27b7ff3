"""The main thing that a prompt names, in few words: what a text-to-shape model is asked for.

Such models know simple texts best. The authors' released runs start from "a dog." for a capybara in a top hat
and "a bagel." for a bagel with cream cheese (config/*.yaml of their code); here the short text is cut out of
the prompt.
"""

from __future__ import annotations

import re

_PICTURES = "photo|photograph|picture|image|render|rendering|painting|drawing|sketch|model|scan|shot|view"
_LEAD = re.compile(rf"^(?:an?|the)?\s*(?:[\w-]+\s+){{0,4}}?(?:{_PICTURES}|portrait)\s+of\s+", re.IGNORECASE)
_END = re.compile(
    r"[,.;:(]|\s+(?:wearing|with|without|in|on|onto|at|by|from|under|beside|behind|holding|playing|riding|"
    r"sitting|standing|lying|eating|driving|flying|rowing|skiing|dancing|reading|made|carved|filled|covered|"
    r"and|that|which|who|having|dressed|inside|next|near|over|as|for|to)\b",
    re.IGNORECASE,
)


def main_thing(prompt: str) -> str:
    """``"a DSLR photo of a corgi wearing a top hat"`` => ``"a corgi"``; the prompt where nothing is left."""
    text = " ".join(prompt.split())
    while (shorter := _LEAD.sub("", text, count=1)) != text:
        text = shorter
    return _END.split(text, maxsplit=1)[0].strip() or prompt
