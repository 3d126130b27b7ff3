"""Step 9 of 9: a turntable as H.264 video that any player and browser opens."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from sctd.errors import InputError, SctdError
from sctd.export.pictures import as_pictures
from sctd.files import whole_file

# Constant quality: below 18 people see no difference at these sizes.
_QUALITY = ["-crf", "18", "-preset", "medium"]
# One encoder thread and no version stamp: the same frames give the same bytes on the same machine.
# faststart moves the index to the front, so that a browser plays the file while it loads.
_REPEATABLE = ["-threads", "1", "-fflags", "+bitexact", "-flags:v", "+bitexact", "-movflags", "+faststart"]


def save_turntable(path: Path, frames: Any, fps: float = 30.0) -> None:
    """Write frames as .mp4 (H.264, yuv420p), whole or not at all.

    Args:
        path: the file, ending in .mp4; its folder must exist, an existing file is replaced.
        frames: uint8 [n, H, W, 3], sRGB. An odd height or width is padded by one repeated pixel, which
            the codec needs.
        fps: frames per second, > 0.

    Raises:
        InputError: ``frames`` has another shape or dtype, or ``fps`` is not positive.
        OSError: the file cannot be written.
        SctdError: the encoder failed; the message has its last line.
    """
    import imageio_ffmpeg
    import numpy as np

    pictures = as_pictures(frames)
    if not fps > 0:
        raise InputError(f"fps must be positive, got {fps}")
    path = Path(path)
    _, height, width, _ = pictures.shape
    pictures = np.pad(pictures, ((0, 0), (0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    with whole_file(path) as temporary:
        temporary.touch()  # the encoder reports nothing about a folder that cannot be written
        writer = imageio_ffmpeg.write_frames(
            str(temporary),
            (pictures.shape[2], pictures.shape[1]),
            fps=fps,
            codec="libx264",
            quality=None,
            macro_block_size=2,
            ffmpeg_log_level="error",
            output_params=[*_QUALITY, *_REPEATABLE],
        )
        try:
            writer.send(None)
            for picture in pictures:
                writer.send(picture)
            writer.close()
        except (OSError, StopIteration) as exc:
            raise _failure(path, str(exc)) from exc
        _check_complete(path, temporary, len(pictures))


def _check_complete(path: Path, temporary: Path, frames: int) -> None:
    """Read the frame count back: the writer does not report an encoder that dies after the last frame."""
    import imageio_ffmpeg

    try:
        written, _ = imageio_ffmpeg.count_frames_and_secs(str(temporary))
    except (OSError, RuntimeError) as exc:
        raise _failure(path, str(exc)) from exc
    if written != frames:
        raise _failure(path, f"{written} of {frames} frames were written")


def _failure(path: Path, log: str) -> SctdError | OSError:
    """The error to raise: the system's about writing there, else the encoder's last line."""
    try:
        with tempfile.TemporaryFile(dir=path.parent) as probe:
            probe.write(b"\0" * (1 << 20))
            probe.flush()
    except OSError as exc:
        return OSError(exc.errno, exc.strerror, str(path))
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    return SctdError(f"the video {path} could not be encoded: {lines[-1] if lines else 'no reason given'}")
