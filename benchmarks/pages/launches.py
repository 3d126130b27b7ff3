"""What an iteration launches, as counted by benchmarks/launches.py: the page."""

from __future__ import annotations

from benchmarks.pages import Results

LIBRARY = {"sctd.tile_lists": ["CUB radix sort, by depth", "CUB prefix sum", "CUB radix sort, by tile"]}
FILLS = {"sctd.blend_backward": ["memset of the sums"]}
"""Launches of an op beside its own kernels."""


def markdown(results: Results) -> str:
    """The page."""
    lines = [
        "# What an iteration launches",
        "",
        "    SCTD_SIMT_MODULE=$(make -s simt) python -m benchmarks.launches --page docs/launches.md",
        "",
        "No GPU took part: see the top of `benchmarks/launches.py` for how it is counted, and on what.",
        "",
        "Preset sd21, beside the network and the VAE:",
        "",
        "| | colours encoded | disparity encoded, mirrored |",
        "|---|---|---|",
        *(f"| {what} | {' | '.join(map(str, numbers))} |" for what, numbers in results["counts"].items()),
        "",
        "In the order of the longer one:",
        "",
        "| operation | kernels within | and |",
        "|---|---|---|",
    ]
    for name in results["launches"]:
        also = [*LIBRARY.get(name, []), *FILLS.get(name, [])]
        own = results["within"].get(name, ["1" if name.startswith("sctd") else "of torch"])
        lines.append(f"| `{name}` | {', '.join(own)} | {', '.join(also)} |")
    lines += [
        "",
        "CUB's sorts take several passes each, as many as their keys have bits, and are not counted above.",
        "",
        "Not in every iteration: whatever changes the number of Gaussians (every 100 iterations) waits",
        "for the device, and so does the first rendering, which counts its pairs.",
        "",
        "After the network's work is queued the host asks whether the rendering had room for its pairs,",
        "since an iteration without room is repeated. The rendering is in front of the network in the",
        "queue: the device goes on meanwhile.",
        "",
    ]
    return "\n".join(lines)
