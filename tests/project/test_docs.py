"""The documentation is true: its programs compile, its commands print what is shown, its flags and links exist.

What the fences of the pages mean:

    ```mtail NAME       a program that compiles, saved under the name for the commands of the page
    ```mtail fails      one that does not; the next block, ```text, has the errors (a line `…` stands for others)
    ```log NAME         a file, saved
    ```console          after `$ ` a command, run in the page's directory, then what it prints: `…` on a line of its
                        own stands for any lines, within a line for any text; a final `&` starts a daemon on port 3903
                        (another one in the test), and then what a command prints may take a moment to come true

Tables whose first heads are `Expression`, `Group`, `Text`, `Message` or `Warning` are run too.  README.md is a page,
with the repository's examples in reach; `make show` is run as its recipe says.
"""

from __future__ import annotations

import datetime
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from paths import ROOT
from waiting import PATIENCE

from nativemtail import compiler
from nativemtail.compiler.regex import captypes, parser
from nativemtail.options import FLAGS, NEGATIONS
from nativemtail.telemetry import families

PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md")),
    *sorted((ROOT / "docs").glob("*.md")),
]

CURL = f"""#!{sys.executable}
import sys, urllib.error, urllib.request
direct = urllib.request.build_opener(urllib.request.ProxyHandler({{}}))
try:
    answer = direct.open("http://" + sys.argv[-1].removeprefix("http://"))
except urllib.error.HTTPError as error:
    answer = error
except urllib.error.URLError:
    sys.exit(7)
sys.stdout.buffer.write(answer.read())
"""


class Block(NamedTuple):
    """A fenced block: the words behind the fence, where it begins, what is in it."""

    info: list[str]
    line: int
    text: str


class Command(NamedTuple):
    line: int
    text: str
    output: str


def blocks(page: Path) -> list[Block]:
    found, fence = [], re.compile(r"^```(.*)\n((?:.*\n)*?)```$", re.M)
    text = page.read_text(encoding="utf-8")
    for match in fence.finditer(text):
        found.append(Block(match[1].split(), text.count("\n", 0, match.start()) + 1, match[2]))
    return found


def prose(page: Path) -> str:
    return re.sub(r"^```.*\n((?:.*\n)*?)```$", "", page.read_text(encoding="utf-8"), flags=re.M)


def rows(page: Path, head: str) -> Iterator[list[str]]:
    """The cells of every table whose first head is `head`; a cell that is code comes as that code."""
    inside = False
    for line in prose(page).splitlines():
        cells = [cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        if not cells:
            inside = False
        elif cells[0] == head:
            inside = True
        elif inside and set(cells[0]) != {"-"}:
            yield [re.sub(r"^(`+) ?(.*?) ?\1$", r"\2", cell) for cell in cells]


def pattern(shown: str) -> str:
    """A regular expression for what is shown, in which `…` stands for anything."""
    lines = [r"(?:.*\n)*?" if line.strip() == "…" else re.escape(line) for line in shown.splitlines(keepends=True)]
    return "".join(lines).replace("…", ".*")


def errors(program: str, name: str = "program.mtail") -> str:
    try:
        compiler.compile_program(name, program.encode())
    except compiler.CompileError as error:
        return str(error) + "\n"
    return ""


def identify(item: object) -> str | None:
    if isinstance(item, Path):
        return item.name
    return str(item.line) if isinstance(item, Block) else None


# --- programs ------------------------------------------------------------------------------------------------


PROGRAMS = [(page, block) for page in PAGES for block in blocks(page) if block.info[:1] == ["mtail"]]


@pytest.mark.parametrize(("page", "block"), PROGRAMS, ids=identify)
def test_program(page: Path, block: Block) -> None:
    found = errors(block.text, block.info[1] if block.info[1:] and block.info[1] != "fails" else "program.mtail")
    if block.info[1:] != ["fails"]:
        assert found == ""
        return
    shown = next(after for after in blocks(page) if after.line > block.line)
    assert shown.info == ["text"], "a program that fails is followed by its errors"
    assert re.fullmatch(pattern(shown.text), found), found


def test_the_pages_have_what_is_tested() -> None:
    assert len(PROGRAMS) > 20
    kinds = {"console", "log", "mtail", "sh", "text"}
    odd = [(page, block) for page in PAGES for block in blocks(page) if not kinds.issuperset(block.info[:1] or [""])]
    assert odd == []


# --- commands ------------------------------------------------------------------------------------------------


def commands(block: Block) -> Iterator[Command]:
    for match in re.finditer(r"^\$ ((?:.*\\\n)*.*)\n((?:(?!\$ ).*\n)*)", block.text, re.M):
        yield Command(block.line + block.text.count("\n", 0, match.start()) + 1, match[1], match[2])


class Shell:
    """Runs a page's commands in a directory of its own."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory / "page"
        self.directory.mkdir()
        (self.directory / "examples").symlink_to(ROOT / "examples")
        tools = directory / "bin"
        tools.mkdir()
        self._tool(tools / "nativemtail", f'#!/bin/sh\nexec {sys.executable} -m nativemtail "$@"\n')
        self._tool(tools / "curl", CURL)
        path = os.pathsep.join(entry for entry in (str(ROOT / "src"), *sys.path) if entry)
        self.environment = os.environ | {"PATH": f"{tools}:{os.environ['PATH']}", "PYTHONPATH": path}
        with socket.socket() as sock:
            sock.bind(("127.0.0.1", 0))
            self.port = str(sock.getsockname()[1])
        self.daemons: list[subprocess.Popen[bytes]] = []

    def _tool(self, path: Path, text: str) -> None:
        path.write_text(text)
        path.chmod(0o755)

    def run(self, command: str) -> str:
        command = command.replace("3903", self.port)
        if command == "make show":
            recipe = re.search(r"^show:.*\n\t@\S+/(nativemtail .*)$", (ROOT / "Makefile").read_text(), re.M)
            assert recipe
            command = recipe[1]
        if command.endswith("&"):
            self._start(command.removesuffix("&"))
            return ""
        done = subprocess.run(
            command,
            shell=True,
            check=False,
            cwd=self.directory,
            env=self.environment,
            timeout=60,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        return re.sub(r"^[IWEF]\d{4} \S+ +\d+ \S+\] ", "", done.stdout.decode().replace(self.port, "3903"), flags=re.M)

    def _start(self, command: str) -> None:
        daemon = subprocess.Popen(
            ["/bin/sh", "-c", "exec " + command],
            cwd=self.directory,
            env=self.environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self.daemons.append(daemon)
        end = time.monotonic() + PATIENCE
        while "is ready" not in self.run(f"curl -s localhost:{self.port}/-/ready"):
            assert time.monotonic() < end, "the daemon does not start"
            time.sleep(0.05)

    def close(self) -> None:
        for daemon in self.daemons:
            daemon.send_signal(signal.SIGTERM)
            daemon.wait(PATIENCE)


@pytest.mark.parametrize("page", PAGES, ids=identify)
def test_commands(page: Path, tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    try:
        for block in blocks(page):
            if block.info[0] in ("mtail", "log") and block.info[1:] not in ([], ["fails"]):
                file = shell.directory / block.info[1]
                file.parent.mkdir(exist_ok=True)
                file.write_text(block.text, encoding="utf-8")
            elif block.info[0] == "console":
                for command in commands(block):
                    check(shell, command)
    finally:
        shell.close()


def check(shell: Shell, command: Command) -> None:
    shown = re.compile(pattern(command.output))
    end = time.monotonic() + (PATIENCE if shell.daemons and command.text.startswith("curl") else 0)
    while True:
        output = shell.run(command.text)
        if shown.fullmatch(output if output.endswith("\n") or not output else output + "\n"):
            return
        if time.monotonic() >= end:
            pytest.fail(f"line {command.line}: {command.text}\n{output}")
        time.sleep(0.1)


# --- tables --------------------------------------------------------------------------------------------------


def one_shot(tmp_path: Path, programs: dict[str, str]) -> dict[str, str]:
    """The text `t` of each program after one line, by the program's number; absent where there is none."""
    directory = tmp_path / "programs"
    directory.mkdir()
    for name, text in programs.items():
        (directory / f"{name}.mtail").write_text(text, encoding="utf-8")
    (tmp_path / "one.log").write_text("one line\n")
    command: list[str | Path] = [sys.executable, "-m", "nativemtail", "-one_shot"]
    command += ["-progs", directory, "-logs", tmp_path / "one.log"]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    metrics: list[dict[str, Any]] = json.loads(done.stdout)["t"]
    return {
        metric["Program"].removesuffix(".mtail"): metric["LabelValues"][0]["Value"]["Value"]
        for metric in metrics
        if "LabelValues" in metric
    }


def test_expressions(tmp_path: Path) -> None:
    table = [row for page in PAGES for row in rows(page, "Expression")]
    assert len(table) > 20
    programs = {}
    for number, (expression, result, *_) in enumerate(table):
        stored = f'{expression} {{\n t = "true"\n}} else {{\n t = "false"\n}}\n'
        if result not in ("true", "false"):
            stored = f"t = {expression}\n"
        programs[str(number)] = f"text t\n// {{\n{stored}}}\n"
    found = one_shot(tmp_path, programs)
    for number, (expression, result, *_) in enumerate(table):
        value = found.get(str(number)) or "run-time error"
        assert (expression, value) == (expression, result)


def test_group_types() -> None:
    table = [row for page in PAGES for row in rows(page, "Group")]
    assert len(table) > 10
    for group, kind, *_ in table:
        assert (group, captypes.group_types(parser.parse(f"({group})".encode()))[0]) == (group, kind)


def test_times(tmp_path: Path) -> None:
    table = [row for page in PAGES for row in rows(page, "Text")]
    assert len(table) > 5
    programs = {
        str(number): f'text t\n// {{\n strptime("{text}", "{layout}")\n t = string(timestamp())\n}}\n'
        for number, (text, layout, *_) in enumerate(table)
    }
    found = one_shot(tmp_path, programs)
    for number, (text, layout, result, *_) in enumerate(table):
        value = "run-time error"
        if str(number) in found:
            value = f"{datetime.datetime.fromtimestamp(int(found[str(number)]), datetime.UTC):%Y-%m-%d %H:%M:%S}"
        assert (text, layout, value) == (text, layout, result)


MESSAGES = [row for page in PAGES for row in rows(page, "Message")]


@pytest.mark.parametrize(("message", "program"), [row[:2] for row in MESSAGES])
def test_message(message: str, program: str) -> None:
    found = errors(program.replace("⏎", "\n"))
    assert re.search(re.escape(message).replace("…", ".*"), found), found


WARNINGS = [row for page in PAGES for row in rows(page, "Warning")]


@pytest.mark.parametrize(("warning", "program"), [row[:2] for row in WARNINGS])
def test_warning(warning: str, program: str) -> None:
    found = compiler.compile_program("p", program.replace("⏎", "\n").encode()).warnings
    assert any(warning in text for text in found), found


# --- names ---------------------------------------------------------------------------------------------------


def test_self_metrics() -> None:
    text = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8").partition("## Self-metrics")[2]
    table = {name for row in re.findall(r"^\| (`.*?`) \|", text, re.M) for name in re.findall(r"`(\w+)`", row)}
    assert table == set(families.HELP)


def without_schemes(text: str) -> str:
    return re.sub(r"\S+://\S+", "", text)


@pytest.mark.parametrize("page", PAGES, ids=identify)
def test_flags(page: Path) -> None:
    """Flags stand in code, or behind the command."""
    text = without_schemes(page.read_text(encoding="utf-8"))
    named = set(re.findall(r"`--?([a-zA-Z][\w-]*)(?:[= ][^`]*)?`", text))
    for command in re.findall(r"\bnativemtail ((?:.*\\\n)*.*)$", text, re.M):
        named |= set(re.findall(r"(?:^|\s)--?([a-zA-Z][\w-]*)", command))
    known = {*FLAGS, *NEGATIONS, "help", "markdown", "flag", "patience", "limit", "log", "program"}
    assert named <= known, named - known


@pytest.mark.parametrize("page", PAGES, ids=identify)
def test_links(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        file = page.parent / path if path else page
        assert file.exists(), target
        if anchor:
            assert anchor in anchors(file), target


def anchors(page: Path) -> set[str]:
    heads = re.findall(r"^#+ (.+)$", prose(page), re.M)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.mark.parametrize("page", PAGES, ids=identify)
def test_make_targets_and_paths(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.M))
    assert set(re.findall(r"(?:`|^\$ |^ {4})make ([a-z]+)", text, re.M)) <= targets
    package = ROOT / "src" / "nativemtail"
    for path in re.findall(r"`([a-z]+/[\w./-]*\.\w+)`", text):
        assert (ROOT / path).exists() or (package / path).exists() or (package / "compiler" / path).exists(), path


def test_the_command_is_where_the_readme_says() -> None:
    [line] = re.findall(r"^    (export PATH=.*)$", (ROOT / "README.md").read_text(), re.M)
    if Path(sys.executable).parent != ROOT / ".venv" / "bin":
        pytest.skip("not run by .venv")
    command = ["sh", "-c", f"{line}; command -v nativemtail"]
    found = subprocess.check_output(command, cwd=ROOT, env={"PATH": "/usr/bin:/bin"}, text=True)
    assert found.strip() == str(ROOT / ".venv" / "bin" / "nativemtail")


def test_programs_have_one_place() -> None:
    """Where nativemtail runs alone; beside mtail, and after it, they may be mtail's."""
    files = [*PAGES, ROOT / "packaging" / "nativemtail.service", *(ROOT / "examples" / "interop").rglob("*.*")]
    places = {
        (path.name, place)
        for path in files
        if path.is_file()
        for place in re.findall(r"--progs[= ](/etc/\S+)", path.read_text(errors="replace"))
    }
    assert {place for name, place in places if name != "migrating.md"} == {"/etc/nativemtail"}
