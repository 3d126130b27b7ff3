"""Shap-E: a prompt => an implicit shape => coloured triangles, on which the first Gaussians are placed.

Its axes are z up with the front at -y (its first rendering looks along +y); this module converts them to
ours.

Source: Jun and Nichol 2023, "Shap-E: Generating Conditional 3D Implicit Functions", arXiv:2305.02463, as
diffusers' ShapEPipeline runs it.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sctd.config.asset import GaussianSettings
from sctd.errors import InputError, out_of_memory
from sctd.formats.meshes.surface import Surface, y_up
from sctd.gaussians import Gaussians
from sctd.initial.file import from_surfaces
from sctd.prior.load.parts import first_sentence, pass_on, quiet

HUB_SECONDS = 4.0
"""Seconds that the hub may take to answer."""

_FILES = ["model_index.json", "*/*.json", "*/*.txt", "*/*model.safetensors"]  # no half-precision variants
_NETWORKS = ("prior", "text_encoder", "shap_e_renderer")
_INSTEAD = (
    "set gaussians.shap_e to a diffusers folder of it, or start from --init ball, sphere, box or a mesh file"
)


def from_pipeline(
    pipeline: Any,
    prompt: str,
    settings: GaussianSettings,
    generator: torch.Generator,
    device: torch.device | str,
) -> Gaussians:
    """Round Gaussians on the surface that Shap-E makes of a prompt, on the CPU.

    The noise comes from the CPU generator on every device.

    Args:
        pipeline: of :func:`load`.

    Raises:
        InputError: its shape is empty, its weights are damaged, or the prompt is too long for its text
        encoder.
    """
    length = len(pipeline.tokenizer(prompt, truncation=False, verbose=False).input_ids)
    limit = int(pipeline.tokenizer.model_max_length)
    if length > limit:
        raise InputError(
            f"the text for Shap-E has {length} tokens, it reads {limit}; "
            "give a shorter one as gaussians.init_prompt"
        )
    with quiet():
        pipeline.to(device)
        pipeline.set_progress_bar_config(disable=True)
        latents = pipeline(
            prompt,
            num_inference_steps=settings.shap_e_steps,
            guidance_scale=settings.shap_e_guidance,
            generator=generator,
            output_type="latent",
        ).images
        surface = decode(pipeline.shap_e_renderer, latents, settings.shap_e_grid)
    return from_surfaces(y_up([surface], "z"), settings, generator)


def decode(renderer: Any, latents: Tensor, grid: int) -> Surface:
    """The zero level of the signed distances, with its texture at the vertices, in Shap-E's axes.

    Args:
        renderer: a ShapERenderer.
        latents: one shape, [1, vectors, channels].
        grid: samples of the distance along each axis of the cube -1..1.

    Raises:
        InputError: there is none, since the distance is negative everywhere, or it is not finite.
    """
    try:
        mesh = renderer.decode_to_mesh(latents, latents.device, grid_size=grid)
    except (ZeroDivisionError, RuntimeError, ValueError) as exc:
        if out_of_memory(exc):
            raise
        # diffusers colours the vertices even if there are none; the exception varies
        raise InputError(
            f"Shap-E made an empty shape ({first_sentence(exc)}); try another seed; {_INSTEAD}"
        ) from exc
    colors = torch.stack([mesh.vertex_channels[c] for c in "RGB"], dim=1)  # linear light
    if not bool(torch.isfinite(mesh.verts).all() & torch.isfinite(colors).all()):
        raise InputError(f"Shap-E made a shape that is not finite; its weights are damaged; {_INSTEAD}")
    return Surface(mesh.verts.cpu().double(), mesh.faces.cpu(), colors.cpu().double())


def load(spec: str) -> Any:
    """The pipeline in a folder or of a hub id, float32, with all weights; safetensors only.

    Raises:
        InputError: it is not available, or damaged.
    """
    path = Path(spec).expanduser()
    with quiet():
        return _load(path if path.is_dir() else _download(spec), spec)


def _load(folder: Path, spec: str) -> Any:
    from diffusers import HeunDiscreteScheduler, PriorTransformer, ShapEPipeline
    from diffusers.pipelines.shap_e import ShapERenderer
    from transformers import CLIPTextModelWithProjection, CLIPTokenizer

    classes = (PriorTransformer, CLIPTextModelWithProjection, ShapERenderer)
    part = "model_index.json"
    try:
        if not (folder / part).is_file():
            raise FileNotFoundError("it is not there")
        parts = {}
        for part, cls in zip(_NETWORKS, classes, strict=True):
            parts[part] = _network(cls, folder, part)
        part = "tokenizer"
        tokenizer = CLIPTokenizer.from_pretrained(folder / part, local_files_only=True)
        if len(tokenizer) < 100:  # transformers silently makes this of a missing vocabulary
            raise ValueError(f"{len(tokenizer)} tokens")
        part = "scheduler"
        scheduler = HeunDiscreteScheduler.from_pretrained(folder, subfolder=part, local_files_only=True)
    except Exception as exc:  # OSError, ValueError, KeyError, SafetensorError, TypeError, ...
        pass_on(exc)
        raise InputError(
            f"Shap-E {spec}: its {part} is missing or damaged ({first_sentence(exc)}); {_INSTEAD}"
        ) from exc
    return ShapEPipeline(**parts, tokenizer=tokenizer, scheduler=scheduler)


def _network(cls: Any, folder: Path, part: str) -> Any:
    # on the meta device, diffusers' default, buffers that are in no file would be lost
    plain = {} if part == "text_encoder" else {"low_cpu_mem_usage": False}
    module, report = cls.from_pretrained(
        folder,
        subfolder=part,
        torch_dtype=torch.float32,
        use_safetensors=True,
        local_files_only=True,
        output_loading_info=True,
        **plain,
    )
    missing = sorted(key for key in report["missing_keys"] if not key.endswith("position_ids"))
    if missing or report.get("mismatched_keys"):
        raise ValueError(f"{len(missing)} weights missing, first {missing[:1]}; others of another shape")
    return module


def _download(spec: str) -> Path:
    """The hub's snapshot folder of a pipeline, from the cache or fetched."""
    from huggingface_hub import HfApi, snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        with suppress(LocalEntryNotFoundError):
            folder = Path(snapshot_download(spec, allow_patterns=_FILES, local_files_only=True))
            if all(any((folder / part).glob("*.safetensors")) for part in _NETWORKS):  # no half download
                return folder
        HfApi().model_info(spec, timeout=HUB_SECONDS)  # fails early, where the download would retry for long
        return Path(snapshot_download(spec, allow_patterns=_FILES, etag_timeout=HUB_SECONDS))
    except HFValidationError as exc:
        raise InputError(f"Shap-E {spec!r} is no folder and no hub id; {_INSTEAD}") from exc
    except Exception as exc:  # hub, network and file errors have no common base
        tried = f"tried as a folder, in the cache and on the hub ({first_sentence(exc)})"
        raise InputError(f"Shap-E {spec}: {tried}; {_INSTEAD}") from exc
