"""A Shap-E folder of a few thousand random weights, made with diffusers' own classes."""

from __future__ import annotations

from itertools import pairwise, product
from pathlib import Path

import torch
from diffusers import HeunDiscreteScheduler, PriorTransformer, ShapEPipeline
from diffusers.pipelines.shap_e import ShapERenderer
from tiny import WIDTH, text_config, write_tokenizer
from torch import Tensor
from transformers import CLIPTextModelWithProjection, CLIPTokenizer

from sctd.prior.load.parts import quiet

HIDDEN = 8
POSITION = 93  # numbers that encode a position

# The corners of a cube by bit, and its edges, in the order that diffusers' decoder numbers them.
_CORNERS = [(bit & 1, bit >> 1 & 1, bit >> 2) for bit in range(8)]
_EDGES = [
    tuple(
        sum(value << axis for axis, value in zip((a, *others), (end, *place), strict=True)) for end in (0, 1)
    )
    for a, others in ((0, (1, 2)), (1, (0, 2)), (2, (0, 1)))
    for place in ((x, y) for y, x in product((0, 1), repeat=2))
]


def marching_cubes() -> tuple[Tensor, Tensor]:
    """The decoder's tables, which a real folder holds: triangles [256, 5, 3] of edges, and which count.

    Where four edges of a face are crossed, positive corners are kept apart; triangles fan out from each loop.
    """
    cases, masks = torch.zeros(256, 5, 3, dtype=torch.long), torch.zeros(256, 5, dtype=torch.bool)
    faces = [[c for c in range(8) if _CORNERS[c][axis] == side] for axis in range(3) for side in (0, 1)]
    for case in range(256):
        inside = {corner for corner in range(8) if case >> corner & 1}
        links: dict[int, list[int]] = {}
        for face in faces:
            on_it = [(e, inside & set(ends)) for e, ends in enumerate(_EDGES) if set(ends) <= set(face)]
            crossed = [e for e, positive in on_it if len(positive) == 1]
            pairs = [crossed] if len(crossed) == 2 else []
            if len(crossed) == 4:
                pairs = [[e for e in crossed if corner in _EDGES[e]] for corner in inside & set(face)]
            for a, b in pairs:
                links.setdefault(a, []).append(b)
                links.setdefault(b, []).append(a)
        triangles = [(loop[0], *pair) for loop in _loops(links) for pair in pairwise(loop[1:])]
        for i, triangle in enumerate(triangles):
            cases[case, i], masks[case, i] = torch.tensor(triangle), True
    return cases, masks


def _loops(links: dict[int, list[int]]) -> list[list[int]]:
    left, loops = set(links), []
    while left:
        loop = [min(left)]
        while True:
            left.discard(loop[-1])
            further = [edge for edge in links[loop[-1]] if edge in left]
            if not further:
                break
            loop.append(further[0])
        loops.append(loop)
    return loops


def write_shap_e(folder: Path, *, distance: float = 0.0) -> Path:
    """Writes the pipeline and returns the folder.

    Args:
        distance: added to the signed distance; far below 0 nothing is inside.
    """
    with quiet():
        _write(folder, distance)
    return folder


def _write(folder: Path, distance: float) -> None:
    torch.manual_seed(0)
    prior = PriorTransformer(
        num_attention_heads=2,
        attention_head_dim=8,
        num_layers=1,
        embedding_dim=16,
        num_embeddings=2 * HIDDEN,
        additional_embeddings=0,
        time_embed_act_fn="gelu",
        norm_in_type="layer",
        encoder_hid_proj_type=None,
        added_emb_type=None,
        time_embed_dim=64,
        embedding_proj_dim=WIDTH,
        clip_embed_dim=32,  # of the mean, and of a variance that the pipeline drops
    )
    text = CLIPTextModelWithProjection(text_config(projection_dim=WIDTH))
    renderer = ShapERenderer(
        param_names=("nerstf.mlp.0.weight", "nerstf.mlp.1.weight"),
        param_shapes=((HIDDEN, POSITION), (HIDDEN, HIDDEN)),
        d_latent=16,
        d_hidden=HIDDEN,
        n_hidden_layers=2,
        insert_direction_at=None,
    )
    with torch.no_grad():
        renderer.mlp.mlp[-1].bias[0] += distance
    renderer.mesh_decoder.cases, renderer.mesh_decoder.masks = marching_cubes()
    write_tokenizer(folder.parent / f"{folder.name}-tokenizer")
    scheduler = HeunDiscreteScheduler(
        num_train_timesteps=1024,
        beta_schedule="exp",
        prediction_type="sample",
        use_karras_sigmas=True,
        clip_sample=True,
        clip_sample_range=1.0,
    )
    ShapEPipeline(
        prior=prior,
        text_encoder=text,
        tokenizer=CLIPTokenizer.from_pretrained(folder.parent / f"{folder.name}-tokenizer"),
        scheduler=scheduler,
        shap_e_renderer=renderer,
    ).save_pretrained(folder)
