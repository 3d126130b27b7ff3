"""A run and who looks at it: what is shown, what is obeyed, and that the asset stays what it is."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from painted import painted_mesh
from small import small_config, small_prior, small_run

from sctd.errors import InputError
from sctd.formats.meshes.surface import Triangles
from sctd.formats.write_mesh_glb import write_triangles_glb
from sctd.gaussians import Gaussians
from sctd.pipeline import generate
from sctd.run.claims import Held
from sctd.run.folder import ASSET, ASSET_MESH, CONFIG
from sctd.run.report import Silent
from sctd.viewer import window
from sctd.viewer.visit import Seen, Visit
from sctd.viewer.window import NOW, VIEW, WISH, Window, Wish

ITERATIONS = 12


@pytest.fixture(autouse=True)
def _all_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each iteration looks for a viewer, and shows itself however long it takes."""
    monkeypatch.setattr(window, "LOOK_S", 0.0)
    monkeypatch.setattr(window, "SHARE", 1e9)


class Watching(Silent):
    """A viewer that looks after each iteration, as another process would."""

    def __init__(self, run: Path, wish: Callable[[int, Visit], None] = lambda iteration, visit: None) -> None:
        self.seen: list[Seen] = []
        self._run, self._wish = run, wish
        self.visit: Visit | None = None

    def update(self, iteration: int, scalars: dict[str, float]) -> None:
        if self.visit is None:
            self.visit = Visit(self._run, print)
        seen = self.visit.news()
        if seen is not None:
            self.seen.append(seen)
        self._wish(iteration, self.visit)

    def close(self) -> None:
        assert self.visit is not None
        self.visit.__exit__(None, None, None)


def test_an_asset_is_seen_growing_and_stays_the_same(tmp_path: Path) -> None:
    alone = small_run(tmp_path / "alone", ITERATIONS)
    report = Watching(tmp_path / "run")
    watched = small_run(tmp_path / "run", ITERATIONS, report=report)
    assert watched.asset_ply.read_bytes() == alone.asset_ply.read_bytes()
    says = [seen.says for seen in report.seen]
    assert len(says) > ITERATIONS // 2
    assert says == sorted(set(says), key=lambda text: int("".join(filter(str.isdigit, text))))
    assert all(seen.running and seen.obeys for seen in report.seen[1:])
    first, last = report.seen[1].asset, report.seen[-1].asset
    assert not first.means.equal(last.means)

    assert report.visit is not None
    final = report.visit.news()
    assert final is not None
    assert (final.says, final.running) == ("finished", False)
    assert report.visit.losses()["iteration"] == ITERATIONS - 1
    report.close()
    assert not (tmp_path / "run" / VIEW).exists()


def test_a_run_stops_when_the_viewer_wants(tmp_path: Path) -> None:
    report = Watching(tmp_path / "run", lambda i, visit: visit.want(Wish(stop=i == 4)))
    with pytest.raises(KeyboardInterrupt, match=r"stopped after iteration [56] of 12"):
        small_run(tmp_path / "run", ITERATIONS, report=report)
    seen = report.visit and report.visit.news()
    assert seen
    assert seen.says in ("checkpoint after 5 iterations", "checkpoint after 6 iterations")
    # the wish is over: the run goes on, though the viewer is still there
    result = small_run(tmp_path / "run", ITERATIONS, resume=True)
    report.close()
    assert result.asset_ply.read_bytes() == small_run(tmp_path / "b", ITERATIONS).asset_ply.read_bytes()


def test_a_pause_lasts_until_it_is_taken_back_and_is_no_time_of_the_run(tmp_path: Path) -> None:
    paused: list[float] = []

    def wish(iteration: int, visit: Visit) -> None:
        if iteration == 4:
            visit.want(Wish(pause=True))
            threading.Timer(1.0, lambda: visit.want(Wish())).start()

    class Timed(Watching):
        def update(self, iteration: int, scalars: dict[str, float]) -> None:
            super().update(iteration, scalars)

    before = Window.pause

    def pause(self: Window, over: Callable[[], bool]) -> float:
        paused.append(before(self, over))
        return paused[-1]

    report = Timed(tmp_path / "run", wish)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Window, "pause", pause)
        result = small_run(tmp_path / "run", ITERATIONS, report=report)
    report.close()
    assert result.iterations == ITERATIONS
    assert sum(paused) > 0.5
    assert sum(seconds > 0 for seconds in paused) == 1


def test_a_pause_ends_with_its_viewer(tmp_path: Path) -> None:
    def wish(iteration: int, visit: Visit) -> None:
        if iteration == 4:
            visit.want(Wish(pause=True))
            threading.Timer(0.5, lambda: visit.__exit__(None, None, None)).start()

    class Once(Watching):
        def update(self, iteration: int, scalars: dict[str, float]) -> None:
            if iteration <= 4:
                super().update(iteration, scalars)

    assert (
        small_run(tmp_path / "run", ITERATIONS, report=Once(tmp_path / "run", wish)).iterations == ITERATIONS
    )


def test_in_a_batch_a_viewer_may_only_look(tmp_path: Path) -> None:
    report = Watching(tmp_path / "run", lambda i, visit: visit.want(Wish(pause=True, stop=True)))
    result = generate(
        small_config(ITERATIONS), tmp_path / "run", report=report, prior=small_prior(), alone=False
    )
    report.close()
    assert result.iterations == ITERATIONS
    assert not any(seen.obeys for seen in report.seen)


def test_what_a_killed_viewer_left_holds_nobody_up(tmp_path: Path) -> None:
    class Killed(Silent):
        def update(self, iteration: int, scalars: dict[str, float]) -> None:
            place = tmp_path / "run" / VIEW
            place.mkdir(exist_ok=True)
            (place / ".lock").write_text("{}")
            (place / WISH).write_bytes(Wish(pause=True, stop=True).to_json())

    assert small_run(tmp_path / "run", ITERATIONS, report=Killed()).iterations == ITERATIONS
    assert not (tmp_path / "run" / VIEW).exists()


def test_half_a_wish_and_half_a_moment_are_none(tmp_path: Path) -> None:
    for text in (b"", b"{", b"[]", b'{"pause": true}', b'{"pause": 1, "stop": "yes"}'):
        (tmp_path / WISH).write_bytes(text)
        assert window.read_wish(tmp_path) == Wish()
    (tmp_path / NOW).write_bytes(b"\xff" * 100)
    assert window.read_moment(tmp_path) is None


def test_a_run_has_one_viewer(tmp_path: Path) -> None:
    class Two(Watching):
        def update(self, iteration: int, scalars: dict[str, float]) -> None:
            super().update(iteration, scalars)
            with pytest.raises(Held):
                Visit(tmp_path / "run", print)

    report = Two(tmp_path / "run")
    small_run(tmp_path / "run", 3, report=report)
    report.close()


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not the folder of a run"):
        Visit(tmp_path, print)


def test_a_finished_run_is_its_asset(tmp_path: Path) -> None:
    small_run(tmp_path / "run", 3)
    with Visit(tmp_path / "run", print) as visit:
        seen = visit.news()
        assert seen is not None
        assert (seen.says, seen.running, seen.obeys) == ("finished", False, False)
        assert isinstance(seen.asset, Gaussians)
        assert torch.isfinite(seen.asset.means).all()
        assert visit.news() is None
    assert (tmp_path / "run" / ASSET).exists()
    assert not (tmp_path / "run" / VIEW).exists()


def test_a_finished_run_may_be_a_mesh(tmp_path: Path) -> None:
    (tmp_path / CONFIG).write_text(small_config(1).to_yaml())
    with Visit(tmp_path, print) as visit:
        assert visit.news() is None
        write_triangles_glb(tmp_path / ASSET_MESH, painted_mesh())
        seen = visit.news()
        assert seen is not None
        assert (seen.says, seen.running) == ("finished", False)
        assert isinstance(seen.asset, Triangles)
        assert len(seen.asset) == 38
        assert visit.news() is None
