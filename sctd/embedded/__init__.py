"""The embedded prior: a small text-conditioned latent diffusion model, and everything that made it."""

from __future__ import annotations


def info() -> dict[str, str]:
    """Facts of the model card, for ``sctd prior info``: name => value, in words."""
    from sctd.embedded.weights import FOLDER, read_card
    from sctd.embedded.world import world_of

    world = world_of()
    size = sum(path.stat().st_size for path in FOLDER.rglob("*") if path.is_file())
    facts = {
        "world": world.name,
        **{sort: ", ".join(names) for sort, names in world.contents().items()},
        "weights": f"{FOLDER} ({size / 1e6:.1f} MB)",
    }
    card = read_card()
    for part in ("evaluation", "recogniser"):
        if part in card:
            facts[part] = ", ".join(f"{name} {value:.3g}" for name, value in card[part].items())
    for name, run in card.get("training", {}).items():
        facts[f"{name} training"] = f"{run['step']} steps, {run['seconds'] / 60:.0f} min"
    return facts
