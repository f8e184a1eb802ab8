"""Kills the daemon a thousand times at random, while three logs are written at full speed and rotated.

    python perf/kills.py [KILLS]

Each trial is one of `tests/system/test_kills.py`: 30 kills, other logs.  At the first line that is lost, doubled or out
of order, and at the first counter that decreases, the trial fails; what it leaves is kept, and the others go on.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

TESTS = Path(__file__).parents[1] / "tests"
sys.path.append(str(TESTS / "support"))

from daemons import Place  # type: ignore[import-not-found]  # noqa: E402
from killing import Trial, Wrong  # type: ignore[import-not-found]  # noqa: E402

KILLS_OF_A_TRIAL = 30


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kills", nargs="?", type=int, default=1000, metavar="KILLS")
    parser.add_argument("--seed", type=int, default=1, help="of the first trial")
    options = parser.parse_args()
    began = time.monotonic()
    kills: Counter[str] = Counter()
    answers: Counter[int] = Counter()
    lines, failed, seed, longest = 0, 0, options.seed, 0.0
    while kills.total() < options.kills:
        trial, problem = attempt(seed, min(KILLS_OF_A_TRIAL, options.kills - kills.total()))
        kills += trial.kills
        answers += trial.answers
        lines += trial.lines
        failed += bool(problem)
        longest = max(longest, trial.longest_wait)
        print(f"seed {seed}: {trial.kills.total()} kills, {trial.lines:,} lines {problem}", flush=True)
        seed += 1
    print(f"{kills.total()} kills ({', '.join(f'{what}: {count}' for what, count in kills.most_common())})")
    print(f"{lines:,} lines in complete trials, {answers[200]:,} scrapes with metrics, {answers[503]:,} held back")
    print(f"longest time from a start to the first scrape with metrics: {longest:.1f} s")
    print(f"{failed} of {seed - options.seed} trials failed, in {time.monotonic() - began:.0f} s")
    return 1 if failed else 0


def attempt(seed: int, kills: int) -> tuple[Trial, str]:
    """A trial, and what was wrong with it."""
    place = Place(Path(tempfile.mkdtemp(prefix="kills-")).resolve())
    trial = Trial(place, seed)
    try:
        trial.run(kills)
    except Wrong as problem:
        return trial, f"FAILED, see {place.root}: {problem}"
    else:
        shutil.rmtree(place.root)
        return trial, ""
    finally:
        place.close()


if __name__ == "__main__":
    sys.exit(main())
