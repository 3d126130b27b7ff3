"""How a loaded prior runs: attention kernels, text cache, graphs, compilation, VAE modes, offloading."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
import torch
from diffusers import AutoencoderTiny
from diffusers.models.attention_processor import AttnProcessor2_0
from tiny import views_from
from torch import Tensor
from torch.nn import functional as F

from sctd.config.prior import PriorSettings
from sctd.config.sctd import SctdSettings
from sctd.config.views import ViewSettings
from sctd.errors import InputError
from sctd.methods.sctd import Sctd
from sctd.prior import attention, load_prior
from sctd.prior.card_memory import Ledger
from sctd.prior.diffusers_prior import DiffusersPrior
from sctd.prior.graphs import CudaRecorder, GraphedNetwork
from sctd.text import ViewTexts

CPU = torch.device("cpu")


def load(folder: Path, **settings: object) -> DiffusersPrior:
    prior = load_prior(PriorSettings(name=str(folder), **settings))
    assert isinstance(prior, DiffusersPrior)
    return prior


def stand_in_xformers(monkeypatch: pytest.MonkeyPatch, call: object) -> None:
    """A module that calls itself xformers and is none."""
    package, ops = ModuleType("xformers"), ModuleType("xformers.ops")
    ops.memory_efficient_attention = call  # type: ignore[attr-defined]
    package.ops = ops  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "xformers", package)
    monkeypatch.setitem(sys.modules, "xformers.ops", ops)


def right(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return F.scaled_dot_product_attention(*(x.transpose(1, 2) for x in (q, k, v))).transpose(1, 2)


def broken(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    raise NotImplementedError("No operator found for `memory_efficient_attention_forward`:\n many lines")


def wrong(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return right(q, k, v) * 1.5


@pytest.mark.parametrize(
    ("call", "name", "says"),
    [
        (right, "xformers", "a call of it works here"),
        (broken, "sdpa", "a call of it fails (No operator found"),
        (wrong, "sdpa", "its result is off by"),
    ],
)
def test_a_real_call_decides(monkeypatch: pytest.MonkeyPatch, call: object, name: str, says: str) -> None:
    stand_in_xformers(monkeypatch, call)
    choice = attention.choose("auto", CPU, torch.float32)
    assert choice.name == name
    assert says in choice.reason
    assert "\n" not in choice.reason
    assert attention.choose("sdpa", CPU, torch.float32).name == "sdpa"
    if name == "sdpa":
        with pytest.raises(InputError, match=r"prior\.attention=xformers: .*; use sdpa"):
            attention.choose("xformers", CPU, torch.float32)


def test_without_xformers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "xformers", None)
    monkeypatch.setitem(sys.modules, "xformers.ops", None)
    choice = attention.choose("auto", CPU, torch.float32)
    assert (choice.name, choice.reason) == ("sdpa", "xformers is not installed")


def test_attention_is_the_one_of_diffusers(tiny_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in_xformers(monkeypatch, right)
    ours, by_xformers = load(tiny_folder), load(tiny_folder, attention="xformers")
    text, z = ours.encode_text(["a duck", "a mug"]), torch.randn(2, 4, 8, 8)
    want = load(tiny_folder)
    want._unet.set_attn_processor(AttnProcessor2_0())
    torch.testing.assert_close(ours.predict(z, 300, text), want.predict(z, 300, text))
    torch.testing.assert_close(by_xformers.predict(z, 300, text), want.predict(z, 300, text))


# -- keys and values of texts that do not change --


class Calls:
    """Counts the images whose keys and values of texts are computed, and the calls."""

    def __init__(self, prior: DiffusersPrior) -> None:
        self.calls = self.rows = 0
        for name, layer in prior._unet.named_modules():
            if name.endswith(("attn2.to_k", "attn2.to_v")):
                layer.register_forward_hook(self._note)

    def _note(self, layer: object, inputs: tuple[Tensor], out: Tensor) -> None:
        self.calls += 1
        self.rows += len(inputs[0])


def test_text_cache_changes_nothing_and_saves_calls(tiny_folder: Path) -> None:
    """Four iterations as SCTD asks: three times the empty text for all, once two texts for each image."""
    results, calls, batch = [], [], 3
    for mode in (True, False):
        prior = load(tiny_folder, text_cache=mode)
        calls.append(Calls(prior))
        null, negative, *views = prior.encode_text(["", "bad", "a", "b", "c", "d", "e", "f"]).split(1)
        generator = torch.Generator().manual_seed(1)
        for i in range(4):
            z = torch.randn(batch, 4, 8, 8, generator=generator)
            for t in (100, 200, 300):
                results.append(prior.predict(z, t, null.expand(batch, -1, -1)))
            text = torch.cat((negative.expand(batch, -1, -1), *views[i % 3 : i % 3 + batch]))
            results.append(prior.predict(z.repeat(2, 1, 1, 1), 400, text))
    for got, want in zip(results[:16], results[16:], strict=True):
        torch.testing.assert_close(got, want)
    on, off = calls
    layers = 2 * 4  # keys and values of the four blocks
    assert (on.calls, off.calls) == (layers * (4 + 1), layers * 4 * 4)
    assert (on.rows, off.rows) == (layers * (4 * 6 + 1), layers * 4 * (3 * 3 + 6))


def test_text_cache_sees_changes_and_stays_small(tiny_folder: Path) -> None:
    prior, plain = load(tiny_folder, text_cache=True), load(tiny_folder, text_cache=False)
    z, text = torch.randn(2, 4, 8, 8), prior.encode_text(["a duck"])
    first = prior.predict(z, 300, text.expand(2, -1, -1))
    text.mul_(2.0)  # the same memory, other numbers
    again = prior.predict(z, 300, text.expand(2, -1, -1))
    assert not torch.allclose(first, again)
    torch.testing.assert_close(again, plain.predict(z, 300, text.expand(2, -1, -1)))
    cache = prior._text_cache
    assert cache is not None
    for i in range(20):
        new = prior.encode_text([f"a {i}"]).expand(2, -1, -1)  # freed and made again: addresses come back
        torch.testing.assert_close(prior.predict(z, 300, new), plain.predict(z, 300, new))
    assert len(cache) == cache.TEXTS


def test_texts_of_a_run_are_encoded_once(tiny_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prior = load(tiny_folder)
    seen = []
    encode = prior.encode_text
    monkeypatch.setattr(prior, "encode_text", lambda texts: seen.append(texts) or encode(texts))
    texts = ViewTexts.encode(prior, "duck", "bad", ViewSettings(front="f", left="l", right="r", back="b"))
    method = Sctd(prior, texts, SctdSettings(), iterations=3, seed=0)
    for i in range(3):
        method(torch.randn(1, 4, 8, 8), views_from(0.0), i, torch.Generator().manual_seed(i))
    assert len(seen) == 1


# -- graphs, compilation, offloading --


class StandInRecorder:
    """No CUDA graph: keeps the function and calls it again, into the same memory, as a graph would."""

    def __init__(self) -> None:
        self.recorded = self.replayed = 0

    def record(self, call: object) -> tuple[object, Tensor]:
        self.recorded += 1
        out = call()

        def replay() -> None:
            self.replayed += 1
            out.copy_(call())

        return replay, out


def test_graphs_are_made_once_a_shape_and_own_no_result(tiny_folder: Path) -> None:
    prior = load(tiny_folder, text_cache=False)
    recorder = StandInRecorder()
    network = GraphedNetwork(prior._network, recorder)
    text, results = prior.encode_text(["a duck", "a mug"]), []
    for batch, t in ((2, 10), (1, 500), (2, 999)):
        z = torch.randn(batch, 4, 8, 8)
        results.append((network(z, prior._ticks[t], text[:batch]), prior.predict(z, t, text[:batch])))
    assert (recorder.recorded, recorder.replayed, len(network)) == (2, 3, 2)
    for got, want in results:  # compared at the end: a later call must not change an earlier result
        torch.testing.assert_close(got, want)


class StandInStream:
    """A stream of the device that is current when it is made."""

    def __init__(self, cuda: StandInCuda) -> None:
        self.device = cuda.now[-1][0]

    def wait_stream(self, other: StandInStream) -> None:
        assert other.device == self.device


class StandInCuda:
    """Two GPUs, as far as recording a graph on them goes. No GPU: it shows which device a call asks for."""

    CUDAGraph = SimpleNamespace

    def __init__(self) -> None:
        self.now: list[tuple[int, StandInStream | None]] = [(0, None)]  # device and stream, innermost last
        self.default: StandInStream | None = None
        self.captured: list[int] = []

    def Stream(self) -> StandInStream:
        return StandInStream(self)

    def current_stream(self) -> StandInStream:
        return self.now[-1][1] or StandInStream(self)

    @contextmanager
    def device(self, device: torch.device) -> Iterator[None]:
        self.now.append((device.index, None))
        yield
        self.now.pop()

    @contextmanager
    def stream(self, stream: StandInStream) -> Iterator[None]:
        self.now.append((stream.device, stream))
        yield
        self.now.pop()

    @contextmanager
    def graph(self, graph: SimpleNamespace, stream: StandInStream | None = None) -> Iterator[None]:
        """As torch's: without a stream one is made at first use, and serves every device from then on."""
        if stream is None:
            stream = self.default = self.default or StandInStream(self)
        self.captured.append(stream.device)
        graph.replay = lambda: None
        with self.stream(stream):
            yield


def test_a_graph_is_recorded_on_the_network_s_device(monkeypatch: pytest.MonkeyPatch) -> None:
    """With stand-ins for torch's streams and graphs: two devices, of which 0 is the current one."""
    cuda, ran = StandInCuda(), []
    monkeypatch.setattr("sctd.prior.graphs.torch", SimpleNamespace(cuda=cuda))
    for index in (0, 1, 0):
        recorder = CudaRecorder(torch.device("cuda", index))
        recorder.record(lambda: ran.append(cuda.current_stream().device) or torch.zeros(1))
        assert ran == [index] * (CudaRecorder.WARM_UP + 1)
        ran.clear()
    assert cuda.captured == [0, 1, 0]
    assert cuda.now == [(0, None)]


def test_graphs_are_refused_on_a_cpu(tiny_folder: Path) -> None:
    with pytest.raises(InputError, match="cuda_graphs works on CUDA only, the device is cpu"):
        load(tiny_folder, cuda_graphs=True)


def test_compilation_that_fails_is_one_line(tiny_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stand-in for a compiler without its tools."""

    def compile_(function: object) -> object:
        def call(*args: Tensor) -> Tensor:
            raise RuntimeError("Failed to find C++ compiler\nand more")

        return call

    monkeypatch.setattr(torch, "compile", compile_)
    with pytest.raises(InputError, match=r"here \(Failed to find C\+\+ compiler\); leave out --compile"):
        load(tiny_folder, compile=True)


def test_compiled_by_tracing_alone_it_computes_the_same(
    tiny_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The real torch.compile without its slow last stage, which makes code for the machine."""
    real = torch.compile
    monkeypatch.setattr(torch, "compile", lambda function: real(function, backend="eager"))
    prior, plain = load(tiny_folder, compile=True), load(tiny_folder)
    z, text = torch.randn(3, 4, 8, 8), plain.encode_text(["a", "b", "c"])
    torch.testing.assert_close(prior.predict(z, 300, text), plain.predict(z, 300, text))


def test_an_offloaded_text_encoder_goes_back(tiny_folder: Path) -> None:
    prior, plain = load(tiny_folder, offload_text=True), load(tiny_folder)
    moves = []
    move = prior._text_encoder.to
    prior._text_encoder.to = lambda where: moves.append(str(where)) or move(where)
    torch.testing.assert_close(prior.encode_text(["a"]), plain.encode_text(["a"]))
    assert moves == ["cpu", "cpu"]  # to the device, which is the CPU here, and back


@pytest.mark.parametrize(
    "settings",
    [
        {"compile": True, "cuda_graphs": True},
        {"text_cache": True, "compile": True},
        {"text_cache": True, "cuda_graphs": True},
        {"name": "embedded", "loras": ["a.safetensors"]},
    ],
)
def test_settings_that_exclude_each_other(settings: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"exclude|neither|belong"):
        PriorSettings(**{"name": "x", **settings})


# -- the VAE --


def encoded(prior: DiffusersPrior, images: Tensor) -> tuple[Tensor, Tensor]:
    """Latents and the gradient of a loss of them."""
    leaf = images.clone().requires_grad_()
    z = prior.encode_images(leaf, prior.posterior_noise(leaf, torch.Generator().manual_seed(0)))
    (gradient,) = torch.autograd.grad((z * torch.linspace(-1, 1, z.numel()).view_as(z)).sum(), leaf)
    return z.detach(), gradient


def test_sliced_is_full_image_by_image(tiny_folder: Path) -> None:
    images = torch.rand(3, 3, 16, 16)
    full, sliced = load(tiny_folder), load(tiny_folder, vae="sliced")
    for got, want in zip(encoded(sliced, images), encoded(full, images), strict=True):
        torch.testing.assert_close(got, want, rtol=1e-4, atol=1e-5)
    z = torch.randn(3, 4, 8, 8)
    torch.testing.assert_close(sliced.decode(z).clamp(0, 1), full.decode(z).clamp(0, 1))


def test_sliced_and_tiled_keep_next_to_nothing_for_the_gradient(tiny_folder: Path) -> None:
    kept, peak = {}, {}
    for mode in ("full", "sliced", "tiled"):
        prior, ledger = load(tiny_folder, vae=mode), Ledger()
        images = torch.rand(8, 3, 16, 16, requires_grad=True)
        with ledger:
            z = prior.encode_images(images)
            kept[mode] = ledger.live
            z.sum().backward()
        peak[mode] = ledger.peak
    assert max(kept["sliced"], kept["tiled"]) < kept["full"] / 10
    assert peak["tiled"] < peak["sliced"] < peak["full"] / 4  # one image of eight at a time, or less


def test_tiles_are_half_an_image_and_give_a_gradient(tiny_folder: Path) -> None:
    prior = load(tiny_folder, vae="tiled")
    sizes = []
    prior._vae.module.encoder.register_forward_hook(lambda m, i, o: sizes.append(tuple(i[0].shape[-2:])))
    z, gradient = encoded(prior, torch.rand(1, 3, 16, 16))
    assert z.shape == (1, 4, 8, 8)
    assert max(max(size) for size in sizes) == 8
    assert (gradient.flatten(1).norm(dim=1) > 0).all()


@pytest.fixture(scope="module")
def tiny_vae(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("taesd")
    channels = {"encoder_block_out_channels": (8, 8), "decoder_block_out_channels": (8, 8)}
    blocks = {"num_encoder_blocks": (1, 1), "num_decoder_blocks": (1, 1)}
    AutoencoderTiny(**channels, **blocks).save_pretrained(folder, safe_serialization=True)
    return folder


def test_a_tiny_autoencoder_takes_the_place_of_the_vae(tiny_folder: Path, tiny_vae: Path) -> None:
    prior = load(tiny_folder, vae=str(tiny_vae))
    images = torch.rand(2, 3, 16, 16)
    z, gradient = encoded(prior, images)
    torch.testing.assert_close(z, AutoencoderTiny.from_pretrained(tiny_vae).encode(images * 2 - 1).latents)
    assert (gradient.flatten(1).norm(dim=1) > 0).all()
    assert prior.decode(z).clamp(0, 1).shape == images.shape
    assert (prior.traits.image_size, prior.traits.latent_shape) == (16, (4, 8, 8))
    stream = torch.Generator().manual_seed(0)
    before = stream.get_state()
    assert prior.posterior_noise(images, stream) is None
    assert torch.equal(stream.get_state(), before)


def test_no_tiny_autoencoder(tiny_folder: Path, tmp_path: Path) -> None:
    for folder, says in ((tmp_path, "is no tiny autoencoder"), (tmp_path / "gone", "no such folder")):
        with pytest.raises(InputError, match=rf"prior\.vae .*{says}.*full, sliced, tiled") as caught:
            load(tiny_folder, vae=str(folder))
        assert "\n" not in str(caught.value)


def test_channels_last_is_a_layout_only(tiny_folder: Path) -> None:
    one, other = load(tiny_folder), load(tiny_folder, channels_last=False)
    layouts = [p._unet.conv_in.weight.is_contiguous(memory_format=torch.channels_last) for p in (one, other)]
    assert layouts == [True, False]
    z, text = torch.randn(1, 4, 8, 8), one.encode_text(["a"])
    torch.testing.assert_close(one.predict(z, 5, text), other.predict(z, 5, text))


def test_an_attention_of_another_kind_is_refused() -> None:
    layer = SimpleNamespace(group_norm=object(), spatial_norm=None, norm_q=None)
    unet = SimpleNamespace(attn_processors={"mid.attn.processor": None}, get_submodule=lambda name: layer)
    with pytest.raises(InputError, match=r"mid\.attn\.processor is no attention of Stable Diffusion"):
        attention.install(unet, attention.sdpa_kernel, None)
