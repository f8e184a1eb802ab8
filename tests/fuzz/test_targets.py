"""The seeds of the fuzz targets, without atheris: what was found once stays mended."""

from __future__ import annotations

from pathlib import Path

import pytest
from targets import LONGEST, TARGETS

CORPUS = Path(__file__).parent / "corpus"


@pytest.mark.slow
@pytest.mark.parametrize("name", TARGETS)
def test_seeds(name: str) -> None:
    seeds = sorted((CORPUS / name).iterdir())
    assert seeds
    for seed in seeds:
        data = seed.read_bytes()
        assert len(data) <= LONGEST, seed
        try:
            TARGETS[name](data)
        except Exception as error:
            error.add_note(f"of {seed}")
            raise


def test_there_are_seeds_of_every_target_and_no_others() -> None:
    assert {path.name for path in CORPUS.iterdir()} == set(TARGETS)
