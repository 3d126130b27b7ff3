"""The prior for one of several runs: a costly call pauses the run until :class:`.SharedPrior` answers it."""

from __future__ import annotations

from collections.abc import MutableMapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from sctd.batch.sharing.calls import Call, Pull, stands_alone
from sctd.batch.sharing.tasks import Task
from sctd.cameras import Viewpoints
from sctd.prior.base import Prior, Timestep


class Client:
    """Implements :class:`sctd.prior.base.Prior` with the calls of a :class:`.SharedPrior`."""

    task: Task[Any]
    """The run whose calls these are."""

    def __init__(self, prior: Prior, known_texts: MutableMapping[str, Tensor], torch_threads: int) -> None:
        """Make the client of a run that has not begun.

        Args:
            prior: the prior that the runs share.
            known_texts: embeddings [1, L, D] of all runs; new ones are put there.
            torch_threads: of the thread that makes the calls.
        """
        self._prior = prior
        self._known_texts = known_texts
        self.traits = replace(prior.traits, torch_threads=torch_threads)
        self._texts: dict[int, Tensor] = {}

    def check_prompt(self, prompt: str, texts: Sequence[str] = ()) -> None:
        """Raises PromptError: the prior refuses the prompt."""
        self._prior.check_prompt(prompt, texts)

    def encode_text(self, texts: list[str]) -> Tensor:
        """n texts => [n, L, D]. Not shared: a run needs it once, and runs begin at different times."""
        embeddings = self._prior.encode_text(texts)
        for text, row in zip(texts, embeddings.split(1), strict=True):
            known = self._known_texts.setdefault(text, row)
            self._texts[row.data_ptr()] = known if torch.equal(known, row) else row
        return embeddings

    def encode_cameras(self, views: Viewpoints) -> Tensor | None:
        """B views => [B, F] or None. Done at once: it is a handful of numbers."""
        return self._prior.encode_cameras(views)

    def predict(
        self, latents: Tensor, t: Timestep, embeddings: Tensor, cameras: Tensor | None = None
    ) -> Tensor:
        """The network's output [B, C, h, w]."""
        return self._ask("predict", latents, t, self._one_memory(embeddings), *_known(cameras))

    def posterior_noise(self, images: Tensor, generator: torch.Generator) -> Tensor | None:
        """From the run's own generator, so that an asset's draws do not depend on its neighbours."""
        return self._prior.posterior_noise(images, generator)

    def encode_images(self, images: Tensor, noise: Tensor | None = None) -> Tensor:
        """[B, 3, H, W] => latents [B, C, h, w], differentiable."""
        return self._through("encode_images", images, noise)

    def decode(self, latents: Tensor) -> Tensor:
        """[B, C, h, w] => [B, 3, H, W], differentiable."""
        return self._through("decode", latents)

    def _ask(self, kind: str, first: Tensor, *others: Tensor | int | None) -> Tensor:
        answer: Tensor = self.task.ask(Call(kind, (first.detach(), *others)))[0]
        return answer

    def _through(self, kind: str, first: Tensor, *others: Tensor | None) -> Tensor:
        if not (torch.is_grad_enabled() and first.requires_grad):
            return self._ask(kind, first, *others)
        out: Tensor = _Through.apply(self.task, kind, first, *others)  # type: ignore[no-untyped-call]
        return out

    def _one_memory(self, embeddings: Tensor) -> Tensor:
        """A text for the whole batch, in the memory that all runs share for equal texts."""
        if not stands_alone(embeddings):
            return embeddings
        row = self._texts.get(embeddings.data_ptr(), embeddings[:1])
        return row.expand(embeddings.shape[0], -1, -1)


def _known(cameras: Tensor | None) -> tuple[Tensor, ...]:
    return () if cameras is None else (cameras,)


class _Through(torch.autograd.Function):
    """A differentiable call whose backward pass is a request too."""

    @staticmethod
    def forward(ctx: Any, task: Task[Any], kind: str, first: Tensor, *others: Tensor | None) -> Tensor:
        """The run's part of the joint result."""
        out, ctx.joint, ctx.index = task.ask(Call(kind, (first.detach(), *others), grad=True))
        ctx.task, ctx.others = task, len(others)
        result: Tensor = out
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        """The run's part of the joint gradient."""
        joint, ctx.joint = ctx.joint, None
        pulled: Tensor = ctx.task.ask(Pull(joint, ctx.index, grad))
        return None, None, pulled, *[None] * ctx.others
