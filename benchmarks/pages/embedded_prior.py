"""Model card of the embedded prior, evaluated by benchmarks/prior.py: the page."""

from __future__ import annotations

import json

from benchmarks.pages import Results
from sctd.embedded.overview import COLUMNS
from sctd.embedded.weights import FOLDER
from sctd.embedded.world import world_named

BARS = {"kind": 0.90, "color": 0.95, "traits": 0.70, "view": 0.80}
MEANINGS = {
    "kind": "kind",
    "color": "colour",
    "pattern": "pattern",
    "traits": "style, pose, clothes, what it holds and is with",
    "view": "view, on kinds with a front",
}
"""By head of a recogniser; each world's has some of them."""

_MORE = {
    "small": " A richer world is built but not yet\nlearned: `docs/rich_world.md`.",
    "rich": "\nWhat it learned from: `docs/rich_world.md`.",
}


def markdown(card: Results) -> str:
    """The page, from the facts of the weights' card.json."""
    measured, own, training = card["evaluation"], card["recogniser"], card["training"]
    world = world_named(card["world"])
    heads = [key for key in MEANINGS if key in own]
    size = sum(path.stat().st_size for path in FOLDER.rglob("*") if path.is_file()) / 1e6
    pixels = _pixels()
    command = f"python -m benchmarks.prior --samples {measured['samples']:.0f} --page docs/embedded_prior.md"
    times = ", ".join(
        f"{k} {run['step']} steps in {run['seconds'] / 60:.0f} min" for k, run in training.items()
    )

    def row(key: str) -> str:
        bar = f">= {BARS[key]:.2f}" if key in BARS else ""
        by_camera = measured[f"{key}_by_camera"]
        return f"| {MEANINGS[key]} | {by_camera:.3f} | {measured[key]:.3f} | {bar} | {own[key]:.3f} |"

    missed = [
        MEANINGS[key]
        for key, bar in BARS.items()
        if key in heads and min(measured[key], measured[f"{key}_by_camera"]) < bar
    ]
    verdict = f"Below its bar: {'; '.join(missed)}." if missed else "Every bar is met."

    return f"""\
# Model card of the embedded prior

A latent diffusion model in Stable Diffusion's layout (AutoencoderKL, CLIP text encoder, UNet, v-prediction)
that draws the {world.name} world at {pixels}x{pixels} pixels; {size:.1f} MB, float16 on disk. This page is
written by `{command}`.

## What it knows

{chr(10).join(f"- {sort.capitalize()}: {', '.join(names)}." for sort, names in world.contents().items())}
- Views: front, left side, right side, side, back, overhead. Synonyms and word orders:
  `sctd/embedded/worlds/{world.name}/`.

It knows nothing else, and prompts from outside are refused. It is for machines without a GPU, for tests and
for comparing losses; it is no substitute for a real text-to-image model.{_MORE[world.name]}

## Data and training

Procedural scenes, traced here: {card["data"]};
plain grey backgrounds, light fixed to the world. No picture or text from outside went in. `sctd prior train`
makes it again from nothing.

Seed {card["seed"]}, torch {card["torch"]}, {card["threads"]} CPU threads{_shared(card)}: {times}
(wall time, on a machine that did other work too). {card.get("notes", "")}

![training curves](pictures/prior-curves.png)

## Evaluation

{measured["samples"]:.0f} prompts, DDIM 25 steps, guidance {measured["guidance_scale"]:g}, judged by a
recogniser that was trained on separately seeded scenes. The prior is told the camera, as when it makes an
asset, or the view in words.

| accuracy | the camera told | the view in words | bar | the recogniser itself, on scenes it never saw |
|---|---|---|---|---|
{chr(10).join(row(key) for key in heads)}

{verdict}

A subject of every kind, from the front, the side, the back and above, said in words; {COLUMNS} kinds a row.

![every kind](pictures/prior-kinds.png)

The first samples of the evaluation, the camera told.

![samples](pictures/prior-samples.png)
"""


def _shared(card: Results) -> str:
    """Of the processes that shared out the training of the UNet, where there were several."""
    processes = card.get("processes", 1)
    return f", text encoder and UNet by {processes} processes" if processes > 1 else ""


def _pixels() -> int:
    """Of a picture's side, from the configs of the weights."""
    unet, vae = (json.loads((FOLDER / part / "config.json").read_text()) for part in ("unet", "vae"))
    return int(unet["sample_size"] * 2 ** (len(vae["block_out_channels"]) - 1))
