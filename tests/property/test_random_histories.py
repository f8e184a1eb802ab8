"""Random logs through `nativemtail backfill`, against the definition: whatever the division, the bytes are the same.

Lines are out of order, without years, in time zones whose clocks change, around new year; logs are rotated, plain or
compressed.
"""

from __future__ import annotations

import random
from datetime import datetime
from pathlib import Path

import pytest
from gridreference import SECOND
from historyworld import PROGRAM, expected, parsed, random_world

from nativemtail.app.backfill import backfill
from nativemtail.options import parse

BEGINS = {
    "summer": ("Europe/Berlin", datetime(2025, 3, 30, 0, 30)),
    "winter": ("Europe/Berlin", datetime(2025, 10, 26, 0, 30)),
    "new year": ("America/New_York", datetime(2024, 12, 31, 22, 0)),
    "leap day": ("UTC", datetime(2024, 2, 28, 22, 0)),
}


def run(folder: Path, output: str, *flags: str) -> tuple[int, bytes]:
    path = folder / output
    arguments = ["-progs", str(folder / "p.mtail"), "-logs", str(folder / "app.log*"), "-output", str(path), *flags]
    options, extra = parse([*arguments, "-quiet"], "backfill")
    assert extra == []
    return backfill(options), path.read_bytes()


@pytest.mark.parametrize("when", BEGINS)
@pytest.mark.parametrize("seed", range(3))
def test_every_series_is_what_its_definition_says(when, seed, tmp_path):
    rng = random.Random(f"{when} {seed}")
    zone, begin = BEGINS[when]
    world = random_world(rng, zone, begin, seconds=4 * 3600, lines=rng.choice([3, 400]))
    (tmp_path / "p.mtail").write_text(PROGRAM)
    world.write(tmp_path, ["", ".gz", ".zst", ".bz2"], rng)
    step = rng.choice([7, 60, 600])
    flags = ["-override_timezone", zone, "-step", f"{step}s"]
    status, text = run(tmp_path, "one.om", "-workers", "1", *flags)
    assert status == (1 if world.untimed else 0)
    assert parsed(text.decode()) == expected(world, step * SECOND)
    for size in ("1", "700", "20000"):
        assert run(tmp_path, "other.om", "-workers", "1", "-part_size", size, *flags) == (status, text)
    assert run(tmp_path, "small.om", "-workers", "1", "-part_size", "700", "-memory_limit", "2000", *flags)[1] == text


def test_logs_that_are_split_otherwise_give_the_same(tmp_path):
    rng = random.Random(1)
    world = random_world(rng, "UTC", datetime(2025, 5, 1), seconds=3600, lines=500)
    texts = []
    for number in range(3):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / "p.mtail").write_text(PROGRAM)
        world.write(folder, [["", ".gz", ".zst"][number]], rng)
        texts.append(run(folder, "out.om", "-workers", "1")[1])
    assert texts[0] == texts[1] == texts[2]


def test_workers_give_the_same_bytes(tmp_path):
    rng = random.Random(2)
    world = random_world(rng, "UTC", datetime(2025, 5, 1), seconds=7200, lines=2000)
    (tmp_path / "p.mtail").write_text(PROGRAM)
    world.write(tmp_path, ["", ".gz"], rng)
    one = run(tmp_path, "one.om", "-workers", "1")
    for workers in ("2", "4"):
        assert run(tmp_path, "more.om", "-workers", workers, "-part_size", "5000") == one
