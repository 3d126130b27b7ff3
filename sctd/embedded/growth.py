"""Networks of one world, continued in a larger one: more words and longer texts."""

from __future__ import annotations

import torch
from transformers import CLIPTokenizer

from sctd.embedded.networks import TextAndUNet


@torch.no_grad()
def grown(model: TextAndUNet, old: CLIPTokenizer, new: CLIPTokenizer) -> TextAndUNet:
    """The networks with the words and the text length of a new tokenizer.

    A word of both keeps its embedding, whatever its number; other words start at random. New places of a text
    start as the last old one. So outputs are the same for a text that both tokenizers split alike and that
    fits the old length: the UNet is told as many tokens as before (:func:`sctd.prior.views.last_places`).

    Raises:
        AssertionError: the new texts are shorter.
    """
    assert new.model_max_length >= old.model_max_length
    larger = TextAndUNet(new)
    larger.unet.load_state_dict(model.unet.state_dict())
    state = larger.text_encoder.state_dict()
    before, after = old.get_vocab(), new.get_vocab()
    shared = [word for word in before if word in after]
    for name, value in model.text_encoder.state_dict().items():
        if name.endswith("token_embedding.weight"):
            state[name][[after[word] for word in shared]] = value[[before[word] for word in shared]]
        elif name.endswith("position_embedding.weight"):
            state[name][: len(value)] = value
            state[name][len(value) :] = value[-1]
        else:
            state[name] = value
    larger.text_encoder.load_state_dict(state)
    return larger
