"""The state of a run and one step: cameras, rendering, latents, guidance, update."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from sctd import methods, registry
from sctd.cameras import sample_cameras
from sctd.config import Config
from sctd.errors import TrainingFailure
from sctd.gaussians import Gaussians
from sctd.initial.start import initialise
from sctd.latents import render_to_latents
from sctd.machine import transfer
from sctd.mesh.trained.colored import ColoredMesh
from sctd.methods.base import Guidance, Method
from sctd.prior.base import Prior
from sctd.representation import Maker, Representation, Term
from sctd.run.checkpoint import Checkpoint
from sctd.splats.augment import sample_background
from sctd.splats.regularisers import reconstruction
from sctd.stages import (
    METHOD,
    REGULARISERS,
    RENDER_BACKWARD,
    SAMPLING,
    SILENT,
    STEP,
    VAE_BACKWARD,
    VAE_ENCODE,
    Observer,
)
from sctd.text import ViewTexts

BAD_STEPS_IN_A_ROW = 10
"""After so many non-finite steps in a row the run ends."""

Scalars = dict[str, float | str]
Result = Gaussians | ColoredMesh
"""What representations make."""


def _maker(config: Config) -> Maker:
    """The class of the representation that is optimised."""
    maker: Maker = registry.named(registry.REPRESENTATIONS[config.representation])
    return maker


def method_of(config: Config, prior: Prior) -> Method:
    """The method of a stage, its texts encoded: what a stage needs beside that which it begins with.

    Raises:
        InputError: unknown method, prompt the prior refuses, or the stage cannot work with this prior.
    """
    _maker(config).check(config, prior.traits.latent_shape[0])
    texts = ViewTexts.encode(prior, config.prompt, config.negative_prompt, config.views)
    return methods.get(config.method)(
        prior, texts, config.rule, iterations=config.iterations, seed=config.seed
    )


def random_streams(seed: int) -> dict[str, torch.Generator]:
    """CPU generators by purpose: methods compared under one seed see the same cameras and first Gaussians."""
    streams = {}
    for name in ("cameras", "scene", "method"):
        digest = hashlib.sha256(f"sctd {seed} {name}".encode()).digest()
        streams[name] = torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)
    return streams


@dataclass(frozen=True)
class Start:
    """Where a run or a stage of it begins, and the random streams once first Gaussians are drawn."""

    first: Result
    """First Gaussians, or what the stage before has made."""
    random: dict[str, torch.Generator]
    stage: int = 0
    """Which one of the run, 0-based."""
    before: int = 0
    """Iterations of the run's earlier stages."""
    skipped: int = 0
    """As many of those as were left without an update."""

    @classmethod
    def of(
        cls, config: Config, device: torch.device, say: Callable[[str], None] = lambda text: None
    ) -> Start:
        """Made as the settings say; see :func:`sctd.initial.start.initialise` for what it raises."""
        random = random_streams(config.seed)
        made = initialise(config.gaussians, random["scene"], prompt=config.prompt, device=device, say=say)
        return cls(made, random)

    @classmethod
    def at(cls, config: Config, checkpoint: Checkpoint) -> Start:
        """For a trainer that goes back to a checkpoint: no file or Shap-E is needed again.

        Args:
            config: of the checkpoint's stage.
        """
        counters = checkpoint.counters
        return cls(
            _maker(config).first_of(checkpoint.tensors, config),
            random_streams(config.seed),
            stage=counters.get("stage", 0),  # checkpoints from before there were stages name none
            before=counters.get("before", 0),
            skipped=counters.get("skipped_before", 0),
        )


@dataclass(frozen=True)
class Launched:
    """An iteration that the device may still compute."""

    iteration: int
    """0-based."""
    guidance: Guidance
    rgb: Tensor
    terms: list[Term]
    gradients: list[str]
    """What the norms are of."""
    known: dict[str, float]
    """Scalars for the log that need no device."""
    numbers: transfer.Readback


class Trainer:
    """One run in memory. The same config, prior and number of torch threads give the same bits on a CPU."""

    def __init__(
        self, config: Config, prior: Prior, backend: str = "auto", start: Start | None = None
    ) -> None:
        """Set up iteration 0.

        Args:
            config: of the run, or of one of its stages (:meth:`sctd.config.Config.parts`).
            start: None makes one.
            backend: which kernels render and optimise; see :func:`sctd.ops.rasterization`.

        Raises:
            InputError: as :func:`method_of`, or there is nothing to start from.
        """
        self.config = config = config.paced()
        self.prior = prior
        self.iteration = 0
        """Iterations done, also the 0-based number of the next one."""
        self.skipped = 0
        """Iterations without an update because a number was not finite."""
        self.skipped_in_a_row = 0
        self._offender = "an iteration before this sitting"
        start = start or Start.of(config, prior.traits.device)
        self.stage, self.before, self.skipped_before = start.stage, start.before, start.skipped
        self.random = start.random
        self.as_latent: float = config.rule.as_latent
        self.flip: float = config.rule.flip
        self.method = method_of(config, prior)
        self.asset: Representation[Any, Result] = _maker(config)(
            start.first.to(prior.traits.device), config, backend
        )
        self.observer: Observer = SILENT

    @property
    def done(self) -> int:
        """Iterations of the whole run, earlier stages included."""
        return self.before + self.iteration

    @property
    def left_out(self) -> int:
        """As many of those as were left without an update."""
        return self.skipped_before + self.skipped

    def next_start(self) -> Start:
        """Where the next stage begins: with what this one has made."""
        return Start(self.result, self.random, self.stage + 1, self.done, self.left_out)

    def observe(self, observer: Observer) -> None:
        """Tell an observer of every stage from now on; :data:`sctd.stages.SILENT` ends it."""
        self.observer = self.asset.observer = observer

    @property
    def result(self) -> Result:
        """What the run would leave behind if it ended now."""
        return self.asset.result()

    @property
    def gaussians(self) -> Gaussians:
        """The result of a trainer of Gaussians."""
        result = self.result
        assert isinstance(result, Gaussians)
        return result

    def step(self) -> Scalars:
        """One iteration, finished; what to log of it. :meth:`launch` and :meth:`settle` at once."""
        with self.observer.within(STEP):
            return self.settle(self.launch())

    def launch(self) -> Launched:
        """Queue one iteration on the device, without waiting for anything that would leave it idle."""
        before = {name: generator.get_state() for name, generator in self.random.items()}
        while (launched := self._attempt()) is None:
            for name, state in before.items():
                self.random[name].set_state(state)
        return launched

    def _attempt(self) -> Launched | None:
        """One iteration, or None where the rendering lacked room, which the next attempt has.

        A call of its own, so that nothing of a failed attempt is in memory during the next.
        """
        c, i, random, within = self.config, self.iteration, self.random, self.observer.within
        with within(SAMPLING):
            cameras = sample_cameras(c.cameras, i, random["cameras"])
            background = sample_background(c.background, len(cameras), random["scene"])
        picture = self.asset.draw(cameras, background, i, random["scene"], disparity=self.as_latent > 0)
        with within(VAE_ENCODE):
            z0, images, from_disparity, mirrored = render_to_latents(
                self.prior,
                picture.rgb,
                picture.disparity,
                random["method"],
                latents=picture.latents,
                as_latent=self.as_latent,
                flip=self.flip,
            )
        views = cameras.over(background)
        with within(METHOD):
            guidance = self.method(z0, views.mirrored() if mirrored else views, i, random["method"])
        with within(REGULARISERS):
            terms = self.asset.terms(picture)
            if images is not None and not from_disparity and i % c.regularisers.reconstruction_every == 0:
                terms += reconstruction(c.regularisers, self.prior, images, z0)
        # By now the device has the networks' work, and waiting for the rendering costs it nothing.
        if not self.asset.complete(picture):
            return None

        self._backward(picture.rgb, (z0, images), guidance, terms)
        done = self.asset.update(picture, i, guidance.grad, random["scene"])
        self.iteration += 1
        read = {
            **guidance.tensors,
            **{f"term {k}": term.sums for k, term in enumerate(terms)},
            "norms": done.norms,
            **({} if done.dimmed is None else {"dimmed": done.dimmed}),
        }
        return Launched(i, guidance, picture.rgb, terms, done.names, done.known, transfer.Readback(read))

    def settle(self, launched: Launched) -> Scalars:
        """Wait for an iteration, and for nothing that was launched after it; what to log of it.

        Raises:
            TrainingFailure: the tenth iteration in a row met a number that is not finite.
        """
        read = launched.numbers.get()
        scalars: Scalars = {**launched.guidance.numbers(read)}
        for k, term in enumerate(launched.terms):
            scalars |= term.values(read[f"term {k}"])
        if bool(read["norms"].isfinite().all()):
            self.skipped_in_a_row = 0
            # the loss whose gradient is the guidance, 0.5 ||g||^2, mean over the images
            scalars["loss"] = 0.5 * float(read["norms"][-1]) ** 2 / launched.rgb.shape[0]
            if "dimmed" in read and bool(read["dimmed"]):
                scalars["dimmed"] = 1.0
        else:
            scalars |= self._skip(launched, read["norms"])
        return scalars | launched.known

    def _backward(
        self, rgb: Tensor, seen: tuple[Tensor, Tensor | None], guidance: Guidance, terms: list[Term]
    ) -> None:
        """Gradients of all parameters: the method's from latents and pictures, the regularisers' beside it.

        Args:
            rgb: the rendering; once its gradient is complete, what follows is the rasterizer's backward pass.
            seen: the latents, and the pictures that they encode, None where they encode none.
        """
        z0, images = seen
        ends, gradients = [z0, *(term.sums for term in terms)], [guidance.grad, *(t.gradient for t in terms)]
        if guidance.of_pictures is not None and images is not None:
            ends.append(images)
            gradients.append(guidance.of_pictures.to(images))
        hook = rgb.register_hook(lambda _: self.observer.turn_into(RENDER_BACKWARD))
        with self.observer.within(VAE_BACKWARD):
            torch.autograd.backward(ends, gradients)
        hook.remove()

    def _skip(self, launched: Launched, norms: Tensor) -> Scalars:
        """Count a step that changed no parameter, or end the run when there were too many in a row."""
        offender = launched.guidance.offender
        if offender is None:
            bad = norms.isfinite().tolist().index(False)
            offender = f"gradient of {launched.gradients[bad]}"
        elif not bool(torch.isfinite(launched.rgb).all()):
            offender = "rendering"
        self.skipped += 1
        self.skipped_in_a_row += 1
        if self.skipped_in_a_row >= BAD_STEPS_IN_A_ROW:
            steps = launched.guidance.numbers()
            where = ", ".join(f"{k} {steps[k]:g}" for k in ("t", "s", "e") if k in steps)
            last = self.before + launched.iteration
            raise TrainingFailure(
                f"{BAD_STEPS_IN_A_ROW} iterations in a row, the last one {last} ({where}), "
                f"gave numbers that are not finite, first in {offender!r}: "
                f"{_likely_cause(offender, self.prior.traits.dtype)}"
            )
        self._offender = offender
        return {"offender": offender, "skipped": float(self.skipped)}

    def check_any_step(self) -> None:
        """Raises TrainingFailure where every iteration was skipped: nothing was changed.

        A run of few iterations gets to its end before there are too many of them in a row.
        """
        if 0 < self.iteration == self.skipped:
            raise TrainingFailure(
                f"all {self.iteration} iterations gave numbers that are not finite, "
                f"first in {self._offender!r}: {_likely_cause(self._offender, self.prior.traits.dtype)}"
            )

    def checkpoint(self, seconds: float) -> Checkpoint:
        """Everything that the next step depends on, and the run's time so far; nothing may be unsettled."""
        tensors = {
            **self.asset.state_dict(),
            "rng": {name: generator.get_state() for name, generator in self.random.items()},
        }
        counters: dict[str, Any] = {
            "skipped": self.skipped,
            "skipped_in_a_row": self.skipped_in_a_row,
            "stage": self.stage,
            "before": self.before,
            "skipped_before": self.skipped_before,
            "seconds": seconds,
            "torch": torch.__version__,
            "torch_threads": self.prior.traits.threads_now(),
        }
        return Checkpoint(self.done, tensors, counters)

    def restore(self, checkpoint: Checkpoint) -> None:
        """Go back to a state from :meth:`checkpoint` of a trainer with the same config."""
        parts, counters = checkpoint.tensors, checkpoint.counters
        self.asset.load_state_dict(parts)
        for name, generator in self.random.items():
            generator.set_state(parts["rng"][name])
        self.iteration = checkpoint.iteration - self.before
        self.skipped = counters["skipped"]
        self.skipped_in_a_row = counters["skipped_in_a_row"]


def _likely_cause(offender: str, dtype: torch.dtype) -> str:
    half = dtype in (torch.float16, torch.bfloat16)
    if offender == "rendering":
        return "what is optimised ran away itself; lower its learning rates (optim.*.start, surface.*.start)"
    if offender.startswith("gradient of"):
        wider = "set dtype=float32 or " if half else ""
        return f"the backward pass overflowed; {wider}lower the method's guidance_weight"
    what = "VAE" if offender == "z0" else "network"
    if half:
        return (
            f"the {what} overflowed, which half precision does, or its weights are damaged; set dtype=float32"
        )
    wide = str(dtype).removeprefix("torch.")
    return f"the {what} gives them in {wide} too; choose another prior, or leave out its LoRAs"
