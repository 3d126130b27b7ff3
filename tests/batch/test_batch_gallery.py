"""The page of a batch: what it holds, what it links to, and that prompts stay text."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from sctd.batch.gallery import PAGE, Card, write
from sctd.batch.store import Folder

NASTY = 'a "b" </script><script>alert(1)</script> <!-- & ü'


class Tags(HTMLParser):
    """Every tag, and the text of the element with id "data"."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.data = ""
        self._inside = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self._inside = dict(attrs).get("id") == "data"

    def handle_endtag(self, tag: str) -> None:
        self._inside = False

    def handle_data(self, data: str) -> None:
        if self._inside:
            self.data += data


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "night & day"
    run = made / "a #1"
    run.mkdir(parents=True)
    for name in ("contact.png", "asset.ply"):
        (run / name).write_bytes(b"x")
    return made


def read(folder: Path, *cards: Card) -> tuple[Tags, list[dict[str, Any]]]:
    path = folder / PAGE
    assert write(Folder(folder), cards) == str(path)
    tags = Tags()
    tags.feed(path.read_text(encoding="utf-8"))
    return tags, json.loads(tags.data)


def test_every_asset_is_there_with_what_it_has(folder: Path) -> None:
    done = Card("a #1", "a red duck", 4, "sctd", "done", 12.5)
    failed = Card("b", NASTY, 0, "ism", "failed", error="the prior does not know it")
    tags, rows = read(folder, done, failed)
    assert [row["prompt"] for row in rows] == ["a red duck", NASTY]
    assert rows[0]["contact"] == "a%20%231/contact.png"
    assert rows[0]["asset"] == "a%20%231/asset.ply"
    assert rows[0]["turntable"] is None  # not made
    assert rows[1]["contact"] is None
    assert rows[1]["error"] == "the prior does not know it"
    assert tags.tags.count("option") == 3 + (1 + 2) + (1 + 2)  # orders, states, methods


def test_meshes_are_linked(folder: Path) -> None:
    """A mesh beside the asset, and one that is the asset."""
    (folder / "a #1" / "mesh.glb").write_bytes(b"x")
    (folder / "b").mkdir()
    (folder / "b" / "asset.glb").write_bytes(b"x")
    _, rows = read(folder, *(Card(name, "a duck", 0, "sctd", "done") for name in ("a #1", "b")))
    assert [row["asset"] for row in rows] == ["a%20%231/asset.ply", "b/asset.glb"]
    assert [row["mesh"] for row in rows] == ["a%20%231/mesh.glb", None]


def test_a_prompt_is_no_markup(folder: Path) -> None:
    plain, _ = read(folder, Card("b", "a red duck", 0, "ism", "failed", error="no"))
    nasty, _ = read(folder, Card("b", NASTY, 0, "ism", "failed", error=NASTY))
    assert nasty.tags == plain.tags
    assert "innerHTML" not in (folder / PAGE).read_text(encoding="utf-8")


def test_an_empty_batch_has_a_page(folder: Path) -> None:
    tags, rows = read(folder)
    assert rows == []
    assert "no assets yet" in (folder / PAGE).read_text(encoding="utf-8")
    assert "script" in tags.tags


def test_nothing_half_written(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(Folder(folder), [])
    before = (folder / PAGE).read_bytes()

    def full(self: Path, text: str, encoding: str) -> int:
        self.write_bytes(text.encode()[:10])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(OSError, match="No space"):
        write(Folder(folder), [Card("a #1", "a red duck", 4, "sctd", "done")])
    assert sorted(p.name for p in folder.iterdir()) == ["a #1", PAGE]
    assert (folder / PAGE).read_bytes() == before
