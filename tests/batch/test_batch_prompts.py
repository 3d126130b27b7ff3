"""Lists of prompts: what they may hold, and that every line that cannot be used is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from sctd.batch.prompts import BadLines, Defaults, read_prompts
from sctd.errors import InputError

ANY = Defaults(overrides=["prior=analytic"])
"""A prior that refuses no prompt before it is loaded."""


def read(folder: Path, name: str, text: str | bytes) -> list[tuple[str, str, int]]:
    file = folder / name
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    entries = read_prompts(file, ANY)
    return [(entry.name, entry.config.prompt, entry.config.seed) for entry in entries]


def refused(folder: Path, name: str, text: str | bytes) -> list[str]:
    """The problems, without the name of the file."""
    with pytest.raises(BadLines) as caught:
        read(folder, name, text)
    assert f"{len(caught.value.problems)} line" in str(caught.value)
    start = f"{folder / name}:"
    assert all(problem.startswith(start) for problem in caught.value.problems)
    return [problem.removeprefix(start) for problem in caught.value.problems]


def test_txt_has_a_prompt_a_line(tmp_path: Path) -> None:
    text = "\ufeff# a comment\na red ball\n\n  a blue box, striped  \r\n#a\n"
    assert read(tmp_path, "p.txt", text) == [
        ("a-red-ball-seed0", "a red ball", 0),
        ("a-blue-box-striped-seed0", "a blue box, striped", 0),
    ]


def test_jsonl_and_csv_say_the_same(tmp_path: Path) -> None:
    lines = (
        '{"prompt": "a red ball", "seed": 3, "cameras.batch": 2, "optim": {"beta1": 0.5}}\n'
        '{"prompt": "a \\"big\\", blue box", "name": "box", "method": "sds", "background.color": [0, 0, 1]}\n'
    )
    table = (
        "prompt,seed,cameras.batch,optim.beta1,name,method,background.color\n"
        'a red ball,3,2,0.5,,,\n"a ""big"", blue box",,,,box,sds,"[0, 0, 1]"\n'
    )
    (tmp_path / "p.jsonl").write_text(lines)
    (tmp_path / "p.csv").write_text(table)
    one, other = (read_prompts(tmp_path / name, ANY) for name in ("p.jsonl", "p.csv"))
    assert one == other
    assert [entry.name for entry in one] == ["a-red-ball-seed3", "box"]
    first, second = (entry.config for entry in one)
    assert (first.seed, first.cameras.batch, first.optim.beta1, first.method) == (3, 2, 0.5, "sctd")
    assert (second.seed, second.method, second.background.color) == (0, "sds", (0.0, 0.0, 1.0))


def test_a_line_overrules_the_options_and_they_the_preset(tmp_path: Path) -> None:
    (tmp_path / "p.jsonl").write_text(
        '{"prompt": "a"}\n{"prompt": "b", "iterations": 5, "cameras.size": 16}\n'
    )
    defaults = Defaults(
        overrides=["cameras.size=32", "prior=analytic"], direct={"iterations": 7, "seed": None}
    )
    a, b = (entry.config for entry in read_prompts(tmp_path / "p.jsonl", defaults))
    assert (a.iterations, a.cameras.size) == (7, 32)
    assert (b.iterations, b.cameras.size) == (5, 16)


def test_a_line_may_want_a_mesh(tmp_path: Path) -> None:
    (tmp_path / "p.jsonl").write_text(
        '{"prompt": "a", "output.mesh": true, "mesh.faces": 500}\n{"prompt": "b"}\n'
    )
    a, b = (entry.config for entry in read_prompts(tmp_path / "p.jsonl", ANY))
    assert (a.output.mesh, a.mesh.faces, b.output.mesh) == (True, 500, False)


def test_names_are_unique(tmp_path: Path) -> None:
    text = (
        '{"prompt": "a red ball", "method": "sds"}\n{"prompt": "a red ball"}\n'
        '{"prompt": "x", "name": "a-red-ball-seed0-2"}\n{"prompt": "a red ball", "seed": 1}\n'
    )
    names = [name for name, _, _ in read(tmp_path, "p.jsonl", text)]
    assert names == ["a-red-ball-seed0", "a-red-ball-seed0-3", "a-red-ball-seed0-2", "a-red-ball-seed1"]


def test_duplicates_are_refused(tmp_path: Path) -> None:
    text = (
        '{"prompt": "a", "name": "One"}\n{"prompt": "b", "name": "one"}\n{"prompt": "c"}\n{"prompt": "c"}\n'
    )
    assert refused(tmp_path, "p.jsonl", text) == [
        "2: name 'one' is that of line 1 too; give another one",
        "4: the same asset as line 3; give another seed, or a name",
    ]


def test_prompts_that_the_embedded_prior_refuses_are_named_before_the_night(tmp_path: Path) -> None:
    (tmp_path / "p.jsonl").write_text(
        '{"prompt": "a red ball"}\n{"prompt": "a bagel"}\n{"prompt": "a red"}\n{"prompt": "a blue box"}\n'
    )
    with pytest.raises(BadLines) as caught:
        read_prompts(tmp_path / "p.jsonl", Defaults())
    unknown, nothing = caught.value.problems
    assert unknown.startswith(f"{tmp_path / 'p.jsonl'}:2: the embedded prior cannot draw this prompt")
    assert nothing.startswith(f"{tmp_path / 'p.jsonl'}:3: the embedded prior cannot draw this prompt")


def test_normal_maps_are_refused_where_the_embedded_prior_would_see_them(tmp_path: Path) -> None:
    (tmp_path / "p.txt").write_text("a red ball\n")
    with pytest.raises(BadLines) as caught:
        read_prompts(tmp_path / "p.txt", Defaults(overrides=["stages=fantasia3d"]))
    assert "the embedded prior has never seen a normal map" in str(caught.value.problems)


def test_files_of_settings_are_read_once_whatever_the_number_of_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thousand lines took 25 s, most of it reading the same YAML again."""
    (tmp_path / "settings.yaml").write_text("iterations: 5\nprior: analytic\n")
    (tmp_path / "p.txt").write_text("".join(f"prompt {number}\n" for number in range(20)))
    read: list[str] = []
    real = Path.read_text

    def counted(self: Path, *args: object, **options: object) -> str:
        read.append(self.name)
        return real(self, *args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(Path, "read_text", counted)
    entries = read_prompts(tmp_path / "p.txt", Defaults(file=tmp_path / "settings.yaml"))
    assert [entry.config.iterations for entry in entries] == [5] * 20
    assert read.count("settings.yaml") == 1
    assert read.count("embedded.yaml") <= 1


@pytest.mark.parametrize("name", ["../up", "a/b", "", ".hidden", "manifest.sqlite", "é", "x" * 101, "-a", 5])
def test_names_that_are_no_folders_are_refused(tmp_path: Path, name: object) -> None:
    import json

    (problem,) = refused(tmp_path, "p.jsonl", json.dumps({"prompt": "a", "name": name}))
    assert problem.startswith("1: name ")
    assert "letters, digits" in problem


def test_every_bad_line_is_named(tmp_path: Path) -> None:
    lines = [
        b'{"prompt": "fine"}',
        b'{"prompt": "cut off',
        b'["a list"]',
        b'{"name": "no-prompt"}',
        b'{"prompt": 5}',
        b'{"prompt": "a", "cameras.bach": 2}',
        b'{"prompt": "a", "cameras.batch": 0}',
        b'{"prompt": "a", "method": "magic"}',
        b'{"prompt": "a", "prior": "elsewhere", "threads": 1}',
        b'{"prompt": "a", "preset": "paper9"}',
        b'{"prompt": "\xff"}',
        b'{"prompt": "a\\u0007b"}',
        b'{"prompt": "a", "seed": 1, "seed": 2}',
    ]
    wanted = [
        ("2: not JSON", '{"prompt": "a red mushroom"'),
        ("3: not a JSON object", "write"),
        ("4: the prompt is missing", ""),
        ("5: prompt must be a text; got 5", ""),
        ("6: unknown setting 'cameras.bach'", "did you mean 'cameras.batch'"),
        ("7: setting 'cameras.batch'", "greater than or equal to 1"),
        ("8: ", "sctd"),
        ("9: threads, prior.name: the same for all assets", "leave it out"),
        ("10: unknown preset 'paper9'", "embedded"),
        ("11: byte 13 is not UTF-8", "save"),
        ("12: prompt must not hold control characters", ""),
        ("13: 'seed' is given twice", "leave one of them out"),
    ]
    found = refused(tmp_path, "p.jsonl", b"\n".join(lines))
    assert len(found) == len(wanted)
    for problem, (start, within) in zip(found, wanted, strict=True):
        assert within in problem, problem
        assert problem.startswith(start) or start.startswith("9"), problem


@pytest.mark.parametrize(
    ("text", "problems"),
    [
        ("name,seed\nx,1\n", ["1: the header must have different keys, one of them prompt"]),
        ("prompt,seed,seed\na,1,2\n", ["1: the header must have"]),
        ("prompt,seed\na,1\nb\nc,x\n", ["3: 1 cells, the header has 2", "4: setting 'seed'"]),
        ('prompt,seed\na,1\n"b,2\n', ["3: not CSV"]),
        (b"prompt\na\nb\xff\n", ["3: not UTF-8"]),
    ],
)
def test_bad_tables(tmp_path: Path, text: str | bytes, problems: list[str]) -> None:
    found = refused(tmp_path, "p.csv", text)
    assert len(found) == len(problems)
    assert all(a.startswith(b) for a, b in zip(found, problems, strict=True)), found


@pytest.mark.parametrize(
    ("name", "text", "says"), [("p.txt", "# no\n\n", "no prompt"), ("p.doc", "a", ".csv")]
)
def test_files_without_prompts(tmp_path: Path, name: str, text: str, says: str) -> None:
    with pytest.raises(InputError, match=says):
        read(tmp_path, name, text)
    with pytest.raises(InputError, match="No such file"):
        read_prompts(tmp_path / "missing.txt", ANY)
