"""What a run keeps of its way: sheets and a time-lapse of them, curves, events for TensorBoard."""

from __future__ import annotations

import struct
from pathlib import Path

import imageio_ffmpeg
import pytest
from PIL import Image
from small import small_config, small_prior, small_run
from tensorboardX.proto import event_pb2

from sctd.pipeline import generate
from sctd.run.folder import EVENTS, LOG, LOSSES, SHEETS, TIMELAPSE, read_log
from sctd.run.report import Silent

ALL = ("output.progress_every=4", "output.plot=true", "output.tensorboard=true")
SHEETS_OF_TEN = ["0000004.png", "0000008.png", "0000010.png"]


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def events(folder: Path) -> list[event_pb2.Event]:
    """Records of the event files, in order: length, its checksum, bytes, their checksum."""
    found = []
    for path in sorted(folder.iterdir()):
        data, at = path.read_bytes(), 0
        while at < len(data):
            (length,) = struct.unpack_from("<Q", data, at)
            found.append(event_pb2.Event.FromString(data[at + 12 : at + 12 + length]))
            at += 16 + length
    return found


def scalars(folder: Path, name: str) -> dict[int, float]:
    return {
        event.step: value.simple_value
        for event in events(folder)
        for value in event.summary.value
        if value.tag == name and value.WhichOneof("value") == "simple_value"
    }


def test_a_run_keeps_what_was_asked_for_and_its_asset_is_the_same(tmp_path: Path) -> None:
    plain = small_run(tmp_path / "plain", 10)
    kept = small_run(tmp_path / "kept", 10, *ALL)
    assert kept.asset_ply.read_bytes() == plain.asset_ply.read_bytes()
    assert set(names(tmp_path / "kept")) - set(names(tmp_path / "plain")) == {
        SHEETS,
        TIMELAPSE,
        LOSSES,
        EVENTS,
    }
    assert (plain.progress_mp4, plain.losses_png) == (None, None)
    assert (kept.progress_mp4, kept.losses_png) == (tmp_path / "kept" / TIMELAPSE, tmp_path / "kept" / LOSSES)
    assert names(tmp_path / "kept" / SHEETS) == SHEETS_OF_TEN
    with Image.open(tmp_path / "kept" / SHEETS / SHEETS_OF_TEN[0]) as sheet:
        assert sheet.size == (4 * 16 + 3 * 4, 16)  # four of half output.size, and gaps
    assert imageio_ffmpeg.count_frames_and_secs(str(tmp_path / "kept" / TIMELAPSE))[0] == 3 + 20
    logged = read_log(tmp_path / "kept" / LOG)
    found = scalars(tmp_path / "kept" / EVENTS, "self_consistency")
    assert found == {
        int(row["iteration"]) + 1: pytest.approx(row["self_consistency"], rel=1e-6) for row in logged
    }
    images = {
        e.step for e in events(tmp_path / "kept" / EVENTS) for v in e.summary.value if v.HasField("image")
    }
    assert images == {4, 8, 10}


def test_a_stopped_run_goes_on_with_its_sheets(tmp_path: Path) -> None:
    config, seen = small_config(10, *ALL), []

    def stop() -> bool:
        seen.append(1)
        return len(seen) == 6

    with pytest.raises(KeyboardInterrupt):
        generate(config, tmp_path / "run", prior=small_prior(), stop=stop)
    assert names(tmp_path / "run" / SHEETS) == ["0000004.png"]
    first = (tmp_path / "run" / SHEETS / "0000004.png").read_bytes()
    (tmp_path / "run" / SHEETS / "0000007.png").write_bytes(b"of an iteration that is done again")
    generate(config, tmp_path / "run", prior=small_prior(), resume=True)
    assert names(tmp_path / "run" / SHEETS) == SHEETS_OF_TEN
    assert (tmp_path / "run" / SHEETS / "0000004.png").read_bytes() == first
    assert set(scalars(tmp_path / "run" / EVENTS, "self_consistency")) == set(range(1, 11))


def test_overwriting_removes_them_and_nobody_elses(tmp_path: Path) -> None:
    small_run(tmp_path, 4, *ALL)
    (tmp_path / SHEETS / "mine.png").touch()
    generate(small_config(2), tmp_path, prior=small_prior(), overwrite=True)
    assert names(tmp_path / SHEETS) == ["mine.png"]
    assert not {TIMELAPSE, LOSSES, EVENTS} & set(names(tmp_path))


def test_a_sheet_that_cannot_be_written_ends_the_time_lapse_alone(tmp_path: Path) -> None:
    said: list[str] = []

    class Listening(Silent):
        def message(self, text: str) -> None:
            said.append(text)

        def start(self, total: int, start_iteration: int) -> None:
            (tmp_path / "run" / SHEETS).write_text("somebody's")

    made = generate(
        small_config(8, "output.progress_every=2"), tmp_path / "run", prior=small_prior(), report=Listening()
    )
    assert made.progress_mp4 is None
    assert [text for text in said if "time-lapse ends here" in text] == said[:1]
    assert (tmp_path / "run" / SHEETS).read_text() == "somebody's"
