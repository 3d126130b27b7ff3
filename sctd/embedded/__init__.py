"""The embedded prior: a small text-conditioned latent diffusion model, and everything that made it."""

from __future__ import annotations


def info() -> dict[str, str]:
    """Facts of the model card, for ``sctd prior info``: name => value, in words."""
    from sctd.embedded.weights import FOLDER, read_card
    from sctd.embedded.world import COLORS, KINDS, PATTERNS

    size = sum(path.stat().st_size for path in FOLDER.rglob("*") if path.is_file())
    facts = {
        "kinds": ", ".join(KINDS),
        "colours": ", ".join(COLORS),
        "patterns": ", ".join(PATTERNS),
        "weights": f"{FOLDER} ({size / 1e6:.1f} MB)",
    }
    for name, value in read_card().items():
        facts[name] = (
            ", ".join(f"{k} {v}" for k, v in value.items()) if isinstance(value, dict) else str(value)
        )
    return facts
