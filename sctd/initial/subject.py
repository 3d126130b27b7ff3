"""The main object of a prompt, in few words, for a text-to-shape model.

Such models work best with simple texts. The authors' released runs start from "a dog." for a capybara in a
top hat and "a bagel." for a bagel with cream cheese (config/*.yaml of their code); this module cuts the short
text out of the prompt.
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
    """``"a DSLR photo of a corgi wearing a top hat"`` => ``"a corgi"``; else the whole prompt."""
    text = " ".join(prompt.split())
    while (shorter := _LEAD.sub("", text, count=1)) != text:
        text = shorter
    return _END.split(text, maxsplit=1)[0].strip() or prompt
