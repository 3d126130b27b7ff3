"""Joint calls give what separate ones give, to the bit where that is promised, and leave nothing."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from sctd.batch.sharing.calls import Call, Joint, forward, join
from sctd.batch.sharing.shared import SharedPrior
from sctd.errors import out_of_memory
from sctd.prior import load_prior
from sctd.prior.base import Prior

Step = Callable[[Prior], Any]


class Watched:
    """A prior that notes the size of each call, and runs out of memory where told to."""

    def __init__(self, prior: Prior, room: dict[str, int] | None = None) -> None:
        self._prior, self.calls, self._room = prior, [], room or {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._prior, name)

    def _noted(self, kind: str, first: Tensor, *others: Any) -> Tensor:
        self.calls.append((kind, len(first)))
        if len(first) > self._room.get(kind, 1000):
            raise torch.OutOfMemoryError(f"planted: no room for {len(first)}")
        return getattr(self._prior, kind)(first, *others)

    def predict(self, *inputs: Any) -> Tensor:
        return self._noted("predict", *inputs)

    def encode_images(self, *inputs: Any) -> Tensor:
        return self._noted("encode_images", *inputs)


def step(seed: int, count: int = 2, *, backward: bool = True) -> Step:
    """Encode, predict under the empty text, predict under two texts at a timestep of its own, pull back."""

    def run(prior: Prior) -> tuple[Tensor, ...]:
        stream = torch.Generator().manual_seed(seed)
        size = prior.traits.image_size
        images = torch.rand(count, 3, size, size, generator=stream).requires_grad_()
        text = prior.encode_text([f"a {'red' if seed % 2 else 'blue'} ball", ""])
        z = prior.encode_images(2 * images, prior.posterior_noise(images, stream))
        t = int(torch.randint(20, 980, (1,), generator=stream))
        null = prior.predict(z, t, text[1:].expand(count, -1, -1))
        both = prior.predict(z.repeat(2, 1, 1, 1), t, text.repeat_interleave(count, 0))
        if backward:
            z.backward(both[:count] - null)
        return z.detach(), null, both, images.grad if backward else torch.zeros(())

    return run


def together(prior: Prior, steps: list[Step], **options: Any) -> tuple[list[Any], list[str], SharedPrior]:
    """What each step gives when all run at once, what was said, and the shared prior."""
    said: list[str] = []
    shared = SharedPrior(prior, said.append, **options)
    jobs = [shared.start(step) for step in steps]
    for _ in range(1000):  # a call that never ends fails the test instead of holding it
        shared.advance()
    assert all(job.done for job in jobs)
    for job in jobs:
        if job.error:
            raise job.error
    return [job.result for job in jobs], said, shared


def assert_bits(got: list[Any], wanted: list[Any]) -> None:
    for mine, alone in zip(got, wanted, strict=True):
        for a, b in zip(mine, alone, strict=True):
            assert torch.equal(a, b)


@pytest.mark.parametrize("name", ["embedded", "analytic"])
@pytest.mark.parametrize("counts", [(2, 2, 2), (4, 4, 4, 4), (4, 1, 3)])
def test_joint_calls_have_the_bits_of_separate_ones(name: str, counts: tuple[int, ...]) -> None:
    prior = load_prior(name)
    steps = [step(seed, count) for seed, count in enumerate(counts)]
    got, _, _ = together(prior, steps)
    assert_bits(got, [run(prior) for run in steps])


def test_requests_of_one_kind_are_one_call() -> None:
    watched = Watched(load_prior("analytic"))
    together(watched, [step(seed) for seed in range(4)], exact=False)
    assert watched.calls == [("encode_images", 8), ("predict", 8), ("predict", 16)]


def test_a_newcomer_begins_with_the_others_next_iteration() -> None:
    """Its encoding waits for theirs, or the two would never be joined."""

    def iterations(count: int) -> Step:
        def run(prior: Prior) -> None:
            for _ in range(count):
                images = torch.rand(1, 3, prior.traits.image_size, prior.traits.image_size).requires_grad_()
                z = prior.encode_images(images)
                prior.predict(z, 500, prior.encode_text(["a red ball"]))
                z.sum().backward()

        return run

    watched = Watched(load_prior("analytic"))
    shared = SharedPrior(watched, lambda text: None, exact=False)
    waiting = {shared.start(iterations(3))}
    for _ in range(2):
        waiting -= set(shared.advance())
    waiting.add(shared.start(iterations(2)))
    while waiting:
        waiting -= set(shared.advance())
    assert watched.calls == [(kind, count) for count in (1, 2, 2) for kind in ("encode_images", "predict")]


def test_runs_may_ask_for_their_gradients_one_after_the_other(embedded: Prior) -> None:
    """The graph stays for the second one."""
    images = torch.rand(2, 3, *(2 * [embedded.traits.image_size]))
    calls = [Call("encode_images", (image, None), grad=True) for image in images.split(1)]
    leaf, out = forward(embedded, join(calls))
    joint, grads = Joint(calls, leaf, out), torch.randn(out.shape).split(1)
    pulled = [joint.pull({index: grads[index]})[index] for index in (1, 0)]
    for index, call in enumerate(calls):
        alone = joint.pull_again(embedded, index, grads[index])
        torch.testing.assert_close(pulled[1 - index], alone, rtol=1e-4, atol=1e-6)
        assert call.count == 1


def test_what_differs_in_its_last_bits_is_not_joined(embedded: Prior) -> None:
    """With one thread the embedded VAE takes other kernels from 16 pictures on; joined or not is measured."""
    watched = Watched(embedded)
    steps = [step(seed, 4) for seed in range(4)]
    got, said, shared = together(watched, steps)
    alone = [run(embedded) for run in steps]
    assert_bits(got, alone)

    joined, _, _ = together(embedded, steps, exact=False)
    different = not all(
        torch.equal(a, b) for x, y in zip(joined, alone, strict=True) for a, b in zip(x, y, strict=True)
    )
    assert different == bool(said)
    assert len(said) == len(set(said))
    assert different == (not all(shared._verdicts.values()))


def test_joint_calls_that_need_not_be_exact_differ_by_rounding(embedded: Prior) -> None:
    """Float32 has 2^-24, times some hundred layers one after the other; a wrong part would be off by 1."""
    steps = [step(seed, 4) for seed in range(4)]
    got, _, _ = together(embedded, steps, exact=False)
    for mine, alone in zip(got, [run(embedded) for run in steps], strict=True):
        for a, b in zip(mine, alone, strict=True):
            assert (a - b).norm() <= 1e-5 * b.norm()


def test_a_text_of_all_runs_stays_one_memory(embedded: Prior) -> None:
    """So that the keys and values of the empty text are computed once for all of them."""
    seen: list[Tensor] = []

    class Looks(Watched):
        def predict(self, latents: Tensor, t: Any, text: Tensor) -> Tensor:
            seen.append(text)
            return super().predict(latents, t, text)

    together(Looks(embedded), [step(seed) for seed in range(3)], exact=False)
    assert [(len(text), text.stride(0) == 0) for text in seen] == [(6, True), (12, False)]


@pytest.mark.parametrize(("kind", "limits"), [("encode_images", [4, 2]), ("predict", [4, 2, 1])])
def test_out_of_memory_lowers_the_number_and_goes_on(kind: str, limits: list[int]) -> None:
    """Two pictures a run; the second prediction is of twice as many."""
    prior = load_prior("analytic")
    watched = Watched(prior, {kind: 5})
    steps = [step(seed) for seed in range(8)]
    got, said, shared = together(watched, steps, exact=False)
    assert_bits(got, [run(prior) for run in steps])
    assert shared.most == limits[-1]
    assert said == [f"out of memory with {2 * n} assets in one call: from now on at most {n}" for n in limits]
    assert sum(count > 5 for which, count in watched.calls if which == kind) == len(limits)


def test_out_of_memory_in_the_gradient_computes_each_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    prior = load_prior("analytic")
    steps = [step(seed) for seed in range(3)]
    alone = [run(prior) for run in steps]

    def full(self: Joint, grads: dict[int, Tensor]) -> dict[int, Tensor]:
        raise torch.OutOfMemoryError("planted")

    monkeypatch.setattr(Joint, "pull", full)
    got, said, _ = together(prior, steps)
    assert_bits(got, alone)
    assert said == ["out of memory with 3 assets in one call: from now on at most 1"]


def test_a_run_that_does_not_fit_alone_fails_alone() -> None:
    watched = Watched(load_prior("analytic"), {"predict": 3})
    said: list[str] = []
    shared = SharedPrior(watched, said.append, exact=False)
    small, big = shared.start(step(0, 1)), shared.start(step(1, 4))
    waiting = {small, big}
    while waiting:
        waiting -= set(shared.advance())
    assert small.result is not None
    assert isinstance(big.error, torch.OutOfMemoryError)


def test_a_run_that_wants_no_gradient_leaves_no_graph(monkeypatch: pytest.MonkeyPatch) -> None:
    """An iteration whose numbers are not finite never calls backward."""
    graphs: list[weakref.ref[Joint]] = []
    first = Joint.__init__

    def noted(self: Joint, *inputs: Any) -> None:
        first(self, *inputs)
        graphs.append(weakref.ref(self))

    monkeypatch.setattr(Joint, "__init__", noted)
    prior = load_prior("analytic")
    steps = [step(0), step(1, backward=False), step(2)]
    got, _, _ = together(prior, steps)
    assert_bits(got, [run(prior) for run in steps])
    del got
    gc.collect()
    assert len(graphs) == 1
    assert graphs[0]() is None


def test_an_error_reaches_the_run_that_asked_and_no_other() -> None:
    def wrong(prior: Prior) -> None:
        prior.predict(torch.zeros(1, 4, 8, 8), 5, torch.zeros(1, 1, 3))

    shared = SharedPrior(load_prior("analytic"), lambda text: None)
    bad, good = shared.start(wrong), shared.start(step(0))
    over = []
    while len(over) < 2:
        over += shared.advance()
    assert isinstance(bad.error, RuntimeError)
    assert good.result is not None


def test_what_is_given_up_ends_and_runs_its_finally() -> None:
    ended: list[int] = []

    def forever(prior: Prior) -> None:
        try:
            while True:
                step(0)(prior)
        finally:
            ended.append(1)

    shared = SharedPrior(load_prior("analytic"), lambda text: None)
    jobs = [shared.start(forever) for _ in range(3)]
    for _ in range(7):
        shared.advance()
    shared.close()
    assert len(ended) == 3
    assert not any(job._thread.is_alive() and not job.done for job in jobs)


def test_no_memory_on_a_cpu_is_recognised() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(1 << 50)
    assert out_of_memory(caught.value)
    assert not out_of_memory(RuntimeError("sizes differ"))
