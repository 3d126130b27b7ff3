"""What a prior's name stands for, and everything about it that can be refused before torch is loaded."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from sctd.config.prior import ANALYTIC, EMBEDDED, VAE_MODES, PriorSettings, split_weight, split_word
from sctd.errors import InputError
from sctd.prior.families import BUILT_IN, STABLE_DIFFUSION, Family, family_of_file, family_of_folder
from sctd.prior.load import inversion_keys, noise, variants
from sctd.prior.load.headers import DamagedFile, Entry, read_header
from sctd.prior.load.lora_keys import layers_of

EMBEDDED_FOLDER = Path(__file__).resolve().parents[2] / "embedded" / "weights"

PARTS = ("unet", "vae", "text_encoder", "tokenizer", "scheduler")
NETWORKS = PARTS[:3]
PICKLES = (".ckpt", ".pt", ".pth", ".bin", ".pkl")
LAYOUT = f"a diffusers Stable Diffusion folder (model_index.json, {', '.join(PARTS)})"
_WANTED = f"expected {LAYOUT}, Stable Diffusion 1.x or 2.x"
_CLASSES = {
    "unet": {"UNet2DConditionModel"},
    "vae": {"AutoencoderKL"},
    "text_encoder": {"CLIPTextModel", "CLIPTextModelWithProjection", "CLIPModel"},
}

Kind = Literal["folder", "file", "hub", "none"]
Generation = Literal["sd1", "sd2"]

_TEXT_1, _TEXT_2 = "cond_stage_model.transformer.", "cond_stage_model.model."
_FIRST = "model.diffusion_model.input_blocks.0.0.weight"


@dataclass(frozen=True)
class Source:
    """Where a prior comes from."""

    kind: Kind
    name: str
    """What the user calls it."""
    path: Path
    """The folder or file; of a hub id nothing."""
    family: Family | None = None
    """Of a hub id nothing, until it is fetched."""
    generation: Generation | None = None
    """Of a file of Stable Diffusion."""


def find(settings: PriorSettings) -> Source:
    """Folder, file or hub id, in this order; reads configs and headers of weights, never the weights.

    Raises:
        InputError: nothing is there, or it is damaged, incomplete, or of a kind that sctd does not drive.
    """
    source = _find(settings.name)
    _check_extras(settings, source)
    return source


def _find(name: str) -> Source:
    if name == ANALYTIC:
        return Source("none", name, Path(), BUILT_IN[ANALYTIC])
    if name == EMBEDDED:
        if not EMBEDDED_FOLDER.is_dir():
            raise InputError(
                f"the embedded prior's weights are missing ({EMBEDDED_FOLDER}); "
                "reinstall sctd or give --prior FOLDER"
            )
        check_folder(EMBEDDED_FOLDER, name)
        return Source("folder", name, EMBEDDED_FOLDER, BUILT_IN[EMBEDDED])
    path = Path(name).expanduser()
    if name.strip() and path.is_dir():  # Path("") is the working directory
        return Source("folder", name, path, check_folder(path, name))
    if path.suffix in PICKLES:
        raise InputError(
            f"prior {name}: {path.suffix} files can run code when read; "
            "give the .safetensors file of the same model"
        )
    if path.suffix == ".safetensors":
        if not path.is_file():
            raise InputError(f"prior {name}: no such file; check the path")
        family, generation = check_file(read_header(path), name)
        return Source("file", name, path, family, generation)
    owner, slash, model = name.partition("/")
    if not (owner and slash and model) or "/" in model or name.startswith((".", "~")):
        raise InputError(
            f"prior {name!r} is no folder and no hub id; give {EMBEDDED!r}, {LAYOUT}, "
            "a .safetensors file, or a hub id such as owner/model"
        )
    return Source("hub", name, Path())


def check_folder(folder: Path, name: str) -> Family:
    """The family of a pipeline's folder.

    Raises:
        InputError: no code here loads it; or it is Stable Diffusion's, and not whole.
    """
    index = _read_index(folder, name)
    family = family_of_folder(index)
    if family.make is None:
        raise InputError(
            f"prior {name} is {family.title} (it has {family.seen_in(index)}), "
            f"which sctd does not support yet; {_WANTED}"
        )
    if family is not STABLE_DIFFUSION:
        return family  # whose parts its own code knows
    missing = [part for part in PARTS if not (folder / part).is_dir()]
    if missing:
        raise InputError(f"prior {name} lacks {', '.join(missing)}; {_WANTED}")
    for part in NETWORKS:
        _check_class(folder / part, part, name)
        _check_weights(folder / part, part, name)
    noise.check(folder / "scheduler", name)
    return family


def _check_class(folder: Path, part: str, name: str) -> None:
    """Refuses a network of another class; a config that cannot be read is the loader's to tell."""
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        told = {str(kind) for kind in config.get("architectures") or [config.get("_class_name")] if kind}
    except (OSError, ValueError, AttributeError, TypeError):
        return
    if told and not told & _CLASSES[part]:
        raise InputError(
            f"prior {name}: its {part} is a {', '.join(sorted(told))}; sctd runs {min(_CLASSES[part])}, "
            "as Stable Diffusion 1.x and 2.x have it"
        )


def _check_weights(folder: Path, part: str, name: str) -> None:
    """Refuses weights that are not there, not whole, of another kind of file, or pickles."""
    try:
        found = [path.name for path in folder.iterdir()]
        variant = variants.chosen(found)
        files = [] if variant is None else variants.sets_of(found)[variant]
        if lost := variants.missing_shards(files):
            raise DamagedFile(
                f"of its shards {', '.join(lost)} {'is' if len(lost) == 1 else 'are'} not there; fetch again"
            )
        for file in files:
            read_header(folder / file)
    except DamagedFile as exc:
        raise InputError(f"prior {name}: its {part} is missing or damaged: {exc}") from exc
    except InputError as exc:
        raise InputError(f"prior {name}: its {part} cannot be used: {exc}") from exc
    except OSError as exc:
        raise InputError(f"prior {name}: {folder} cannot be read: {exc.strerror or exc}") from exc
    if not files:
        pickles = any(Path(other).suffix in PICKLES for other in found)
        why = (
            "is only there as a pickle, which can run code when read" if pickles else "is missing or damaged"
        )
        raise InputError(
            f"prior {name}: its {part} {why} (no {folder.name}/*model.safetensors); "
            "restore it or choose another prior"
        )


def _read_index(folder: Path, name: str) -> dict[str, Any]:
    try:
        index = json.loads((folder / "model_index.json").read_text(encoding="utf-8"))
    except FileNotFoundError as exc:
        raise InputError(f"prior {name}: no model_index.json in it; expected {LAYOUT}") from exc
    except (OSError, ValueError) as exc:
        raise InputError(f"prior {name}: model_index.json cannot be read ({exc}); fetch it again") from exc
    if not isinstance(index, dict):
        raise InputError(f"prior {name}: model_index.json cannot be read (no table); fetch it again")
    return index


def check_file(header: Mapping[str, Entry], name: str) -> tuple[Family, Generation | None]:
    """The family of a single file in the layout of the original code, and which Stable Diffusion it is.

    Raises:
        InputError: no code here loads it, or it lacks a part; the message says what.
    """
    family = family_of_file(header)
    if family.make is None:
        raise InputError(
            f"prior {name} is {family.title}, which sctd does not support yet; give {STABLE_DIFFUSION.title}"
        )
    return family, _generation_of(header, name) if family is STABLE_DIFFUSION else None


def _generation_of(header: Mapping[str, Entry], name: str) -> Generation:
    has = {
        "UNet (model.diffusion_model)": _FIRST in header,
        "VAE (first_stage_model)": any(key.startswith("first_stage_model.") for key in header),
        "text encoder (cond_stage_model)": any(key.startswith((_TEXT_1, _TEXT_2)) for key in header),
    }
    missing = [part for part, there in has.items() if not there]
    if missing:
        raise InputError(
            f"prior {name} lacks its {', '.join(missing)}; give a whole Stable Diffusion checkpoint in the "
            f"original layout, or {LAYOUT}"
        )
    channels = header[_FIRST].shape[1]
    if channels != 4:
        raise InputError(
            f"prior {name}: its UNet takes {channels} channels; "
            "use a plain text-to-image model (no inpainting, no depth)"
        )
    return "sd2" if any(key.startswith(_TEXT_2) for key in header) else "sd1"


def _check_extras(settings: PriorSettings, source: Source) -> None:
    """LoRAs, textual inversions, the tiny autoencoder, the config folder, and what a file does not say."""
    for text in settings.loras:
        file, weight = split_weight(text)
        if not math.isfinite(weight):
            raise InputError(
                f"LoRA {file}: its weight is {weight}; give a number, 1 is the file as it was made"
            )
        layers_of(check_weights_file("LoRA", file), file)
    for text in settings.embeddings:
        file, word = split_word(text)
        inversion_keys.key_of(check_weights_file("textual inversion", file), file, word)
    if settings.vae not in VAE_MODES and not Path(settings.vae).expanduser().is_dir():
        raise InputError(
            f"prior.vae {settings.vae}: no such folder; give {', '.join(VAE_MODES)}, "
            "or the folder of an AutoencoderTiny"
        )
    if settings.config is not None:
        configs = Path(settings.config).expanduser()
        if not configs.is_dir():
            raise InputError(f"prior.config {settings.config}: no such folder; give a diffusers folder")
        noise.check(configs / "scheduler", settings.config)
    silent = source.kind == "file" and source.generation == "sd2" and settings.config is None
    if silent and settings.prediction == "auto":
        raise InputError(
            f"prior {source.name}: a Stable Diffusion 2 file does not say what it predicts; add "
            "--set prior.prediction=epsilon (2-base, 2.1-base) or "
            "--set prior.prediction=v_prediction (2.0, 2.1 at 768 pixels)"
        )


def check_weights_file(what: str, name: str) -> dict[str, Entry]:
    """The header of a file; raises InputError unless it is a safetensors file, and whole."""
    path = Path(name).expanduser()
    if path.suffix != ".safetensors":
        raise InputError(f"{what} {name}: only .safetensors files are read (others can run code); convert it")
    if not path.is_file():
        raise InputError(f"{what} {name}: no such file; check the path")
    try:
        return read_header(path)
    except InputError as exc:
        raise InputError(f"{what} {name}: {exc}") from exc
