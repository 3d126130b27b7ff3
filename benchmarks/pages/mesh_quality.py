"""How near meshes are to the truth and to the Gaussians, as measured by benchmarks/meshes.py: the page."""

from __future__ import annotations

from benchmarks.pages import Results, header

BARS = {"fscore": 0.90, "psnr": 1.5}
REFINED = {
    "fscore": ("F", "{:.3f}", 1),
    "chamfer": ("Chamfer, %", "{:.2f}", 100),
    "normal_deg": ("normals, degrees", "{:.1f}", 1),
    "psnr": ("PSNR, dB", "{:.2f}", 1),
}


def refined(row: Results) -> str:
    """The cells of a row: every number before and after refinement."""
    return " | ".join(
        f"{form.format(scale * row[key + '_begun'])} -> {form.format(scale * row[key + '_refined'])}"
        for key, (_, form, scale) in REFINED.items()
    )


def markdown(results: Results) -> str:
    """The page."""
    mean, rows, wish = results["summary"], results["assets"], results["wish"]
    closed = sum(row["open_edges"] == 0 for row in rows)
    loss = mean["psnr_gaussians"] - mean["psnr_mesh"]
    lines = [
        "# Meshes against the truth",
        "",
        "`python -m benchmarks.meshes --page docs/mesh_quality.md`, with `--prompt` for each of those below:",
        f"{len(rows)} assets",
        "of the embedded prior, seed 0, and meshes of them as `sctd mesh` makes them:",
        f"{wish['faces']} triangles, a texture of {wish['texture']}, {wish['views']} views,",
        f"{wish['resolution']} steps of the grid. {closed} of them are watertight.",
        "",
        "The truth is the solid that the pictures of the prompt's world are traced from. What an asset lacks",
        "of it, its mesh lacks too: a mesh is to be as good as its Gaussians.",
        "",
        *header("mean over assets", "measured", "bar"),
        f"| F-score at 2 % of the diagonal | {mean['fscore']:.3f} | >= {BARS['fscore']:.2f} |",
        f"| Chamfer distance, % of the diagonal | {100 * mean['chamfer']:.2f} | |",
        f"| angle between normals, degrees | {mean['normal_deg']:.1f} | |",
        f"| PSNR of the Gaussians to the truth, dB | {mean['psnr_gaussians']:.2f} | |",
        f"| PSNR of the mesh to the truth, dB | {mean['psnr_mesh']:.2f} | |",
        f"| what that loses, dB | {loss:.2f} | <= {BARS['psnr']:.1f} |",
        f"| PSNR of the mesh to the Gaussians, dB | {mean['psnr_between']:.2f} | |",
        f"| seconds of one core | {mean['seconds']:.1f} | |",
        "",
        "Each row: the truth, the Gaussians, the mesh and the refined mesh, from four sides each.",
        "",
        "![truth, Gaussians, mesh and refined mesh of every prompt](pictures/meshes.png)",
        "",
        *header(
            "prompt", "F", "Chamfer, %", "normals", "PSNR Gaussians", "mesh", "between", "hidden, %", "s"
        ),
        *(
            f"| {r['prompt']} | {r['fscore']:.2f} | {100 * r['chamfer']:.2f} | {r['normal_deg']:.0f} | "
            f"{r['psnr_gaussians']:.1f} | {r['psnr_mesh']:.1f} | {r['psnr_between']:.1f} | "
            f"{100 * r['unseen']:.1f} | {r['seconds']:.0f} |"
            for r in rows
        ),
        "",
        "## Refined",
        "",
        f"{results['refine']} iterations of SCTD on the mesh, as the last stage of `--stages magic3d` makes",
        "them: before -> after.",
        "It begins with the same surface on a coarser grid, so its first mesh is not the one above.",
        "",
        *header("prompt", *(name for name, _, _ in REFINED.values())),
        *(f"| {r['prompt']} | {refined(r)} |" for r in rows),
        f"| **mean** | {refined(mean)} |",
        "",
    ]
    return "\n".join(lines)
