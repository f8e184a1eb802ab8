"""Programs that include files: what a change of one causes, and what the cache keeps."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from loading import Rig, values

from nativemtail.compiler.includes import MAX_FILES, gather
from nativemtail.programs.builder import Settings
from nativemtail.programs.loaded import LoadError
from nativemtail.programs.manager import open_programs

PROGRAM = b'include "lib/a.mtail"\ncounter lines\nA {\n  lines++\n}\n'


def write(directory: Path, **texts: bytes) -> None:
    (directory / "lib").mkdir(exist_ok=True)
    for name, text in texts.items():
        (directory / "lib" / f"{name}.mtail").write_bytes(text)


def test_a_changed_file_reloads_the_program(rig: Rig) -> None:
    write(rig.directory, a=b"const A /one/\n")
    rig.write(p=PROGRAM, other=b"counter n\n/x/ {\n  n++\n}\n").load()
    rig.feed(b"one", b"two")
    write(rig.directory, a=b"const A /two/\n")
    assert rig.programs.reload()
    rig.feed(b"one", b"two", b"two")
    assert rig.values() == {"p:lines": 3, "other:n": 0}
    assert (rig.status("p").loads, rig.status("other").loads) == (2, 1)
    assert not rig.programs.reload()


def test_a_file_that_appears_repairs_the_program(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    rig.write(p=PROGRAM)
    assert rig.programs.reload()
    assert 'p.mtail:1:9-21: Can\'t find "lib/a.mtail" to include.' in caplog.text
    write(rig.directory, a=b"const A /one/\n")
    assert rig.programs.reload()
    assert rig.feed(b"one").values() == {"p:lines": 1}


def test_a_file_that_is_found_earlier_counts(tmp_path: Path) -> None:
    for name in ("programs", "first", "second"):
        (tmp_path / name).mkdir()
    (tmp_path / "second" / "a.mtail").write_bytes(b"const A /old/\n")
    (tmp_path / "programs" / "p.mtail").write_bytes(PROGRAM.replace(b"lib/", b""))
    search = (str(tmp_path / "first"), str(tmp_path / "second"))
    programs = open_programs(Settings(paths=(str(tmp_path / "programs"),), include_path=search))
    programs.load(strict=True)
    assert str(tmp_path / "first" / "a.mtail") in programs.included()
    (tmp_path / "first" / "a.mtail").write_bytes(b"const A /new/\n")
    assert programs.reload()
    programs.engine.scan(programs.engine.open("/log"), b"new\nold\n")
    assert values(programs) == {"p:lines": 1}


@pytest.mark.parametrize("word", [b"one", b"two"])
def test_the_cache_knows_the_text_of_included_files(word: bytes, tmp_path: Path) -> None:
    (tmp_path / "p.mtail").write_bytes(PROGRAM)
    settings = Settings(paths=(str(tmp_path),), cache_directory=str(tmp_path / "cache"))
    (tmp_path / "cache").mkdir(mode=0o700)
    for text in (b"one", word, word):
        write(tmp_path, a=b"const A /%s/\n" % text)
        programs = open_programs(settings)
        programs.load(strict=True)
        programs.engine.scan(programs.engine.open("/log"), b"one\ntwo\ntwo\n")
        assert values(programs) == {"p:lines": 1 if text == b"one" else 2}


def test_a_run_time_error_names_the_included_file(rig: Rig) -> None:
    write(
        rig.directory,
        a=b'const A /(\\d+)/\n\ndef d {\n  A {\n    string(1 / ($1 - 7)) == "x" {\n      next\n    }\n  }\n}\n',
    )
    rig.write(p=b'counter n\ninclude "lib/a.mtail"\n@d {\n  n++\n}\n').load()
    rig.feed(b"7")
    [fault], _ = rig.programs.engine.faults()
    assert (fault.program, fault.file, fault.line) == ("p.mtail", "lib/a.mtail", 5)
    assert "originating in lib/a.mtail at line 5" in str(fault)
    assert "of lib/a.mtail" in str(rig.programs.dump("p.mtail"))


@pytest.mark.parametrize(
    ("texts", "error"),
    [
        ({"a": b'include "b.mtail"\n', "b": b'include "a.mtail"\n'},
         'lib/b.mtail:1:9-17: "lib/a.mtail" includes itself: lib/a.mtail, lib/b.mtail, lib/a.mtail.'),
        ({"a": b'include "../p.mtail"\n'}, '"p.mtail" includes itself: p.mtail, lib/a.mtail, p.mtail.'),
        ({"a": b"counter c\n"}, "lib/a.mtail:1:1-7: Only const, def and include can stand in an included file."),
        ({"a": b"const A /a/\n/x/ {\n}\n"}, "lib/a.mtail:2:1: Only const, def and include can stand"),
        ({"a": b"const A /a/ + B\n"}, "lib/a.mtail:1:15: Identifier `B' not declared."),
        ({"a": b"def d {\n"}, "lib/a.mtail:2:1: syntax error: unexpected end of file"),
    ],
)  # fmt: skip
def test_what_cannot_be_included(texts: dict[str, bytes], error: str, rig: Rig) -> None:
    write(rig.directory, **texts)
    with pytest.raises(LoadError) as raised:
        rig.write(p=PROGRAM).load()
    assert error in str(raised.value)
    assert str(raised.value).startswith("compile failed for p.mtail:\n")


def test_a_file_is_taken_once_under_any_spelling(rig: Rig) -> None:
    write(rig.directory, a=b"const A /one/\n", b=b'include "a.mtail"\nconst B /b/\n')
    (rig.directory / "link.mtail.inc").symlink_to(rig.directory / "lib" / "a.mtail")
    rig.write(p=b'include "lib/b.mtail"\ninclude "lib/../lib/a.mtail"\ninclude "link.mtail.inc"\n' + PROGRAM).load()
    assert rig.feed(b"one").values() == {"p:lines": 1}


def test_too_many_files(rig: Rig) -> None:
    write(rig.directory, **{f"f{at}": b"" for at in range(MAX_FILES + 1)})
    rig.write(p=b"".join(b'include "lib/f%d.mtail"\n' % at for at in range(MAX_FILES + 1)))
    with pytest.raises(LoadError, match=f"A program includes at most {MAX_FILES} files"):
        rig.load()


def test_a_circle_of_directories_is_read_once(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to(tmp_path)
    text = b'include "loop/a.mtail"\n'
    (tmp_path / "a.mtail").write_bytes(text)
    found = gather(str(tmp_path / "a.mtail"), text, (), lambda path: Path(path).read_bytes())
    assert len(found.files) <= 2


def test_a_comment_that_names_a_file_does_no_harm(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    rig.write(p=b'# include "nothing.mtail"\ncounter n # include "/"\n/x/ {\n  n++\n}\n').load()
    assert rig.feed(b"x").values() == {"p:n": 1}
    assert caplog.messages == []
