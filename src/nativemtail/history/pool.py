"""Worker processes of this machine.  Each has an engine of its own, and takes one part after another."""

from __future__ import annotations

import contextlib
import multiprocessing
import signal
from collections import deque
from collections.abc import Iterator, Sequence
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

from nativemtail.history.blueprint import Blueprint
from nativemtail.history.parts import Part
from nativemtail.history.worker import Result, Worker

ATTEMPTS = 2
"""A part that fails that often stops the run."""


class PartFailed(Exception):
    """A part could not be read; the text names it."""


def _work(blueprint: Blueprint, pipe: Connection) -> None:
    """The main function of a worker process: a result, or an error, for each part that comes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to all processes of the terminal
    worker = Worker(blueprint)
    while (part := pipe.recv()) is not None:
        try:
            answer: Result | Exception = worker.run(part)
        except Exception as error:
            answer = error
            worker = Worker(blueprint)
        pipe.send(answer)


class _Process:
    """A worker process, and the part that it has."""

    def __init__(self, context: Any, blueprint: Blueprint) -> None:
        self.pipe, other = context.Pipe()
        self.process: BaseProcess = context.Process(target=_work, args=(blueprint, other), daemon=True)
        self.process.start()
        other.close()
        self.part: Part | None = None

    def give(self, part: Part) -> None:
        self.part = part
        with contextlib.suppress(OSError):  # it has died, which take() notices
            self.pipe.send(part)

    def take(self) -> Result | Exception:
        """What became of its part; once the pipe or the end of the process is reported."""
        try:
            answer: Result | Exception = self.pipe.recv()
        except (EOFError, OSError):
            self.process.join()
            return PartFailed(f"its worker ended with status {self.process.exitcode}")
        return answer

    def end(self) -> None:
        self.process.terminate()
        self.process.join()
        self.pipe.close()


def run(blueprint: Blueprint, parts: Sequence[Part], workers: int) -> Iterator[Result]:
    """The results of all parts, in no order.  Raises PartFailed; ending the generator early ends the workers."""
    if workers == 1 or len(parts) == 1:
        yield from _run_here(blueprint, parts)
        return
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["nativemtail.history.worker"])
    waiting = deque(parts)
    failures: dict[int, int] = {}
    processes = [_Process(context, blueprint) for _ in range(min(workers, len(parts)))]
    try:
        while True:
            for process in processes:
                if process.part is None and waiting:
                    process.give(waiting.popleft())
            busy = {process.pipe: process for process in processes if process.part is not None}
            if not busy:
                return
            for pipe in wait(list(busy)):
                process = busy[pipe]
                part = process.part
                assert part is not None
                process.part = None
                answer = process.take()
                if isinstance(answer, Result):
                    yield answer
                    continue
                failures[part.number] = failures.get(part.number, 0) + 1
                if failures[part.number] >= ATTEMPTS:
                    raise PartFailed(f"{part}: {answer}")
                waiting.appendleft(part)
                if not process.process.is_alive():
                    process.pipe.close()
                    processes[processes.index(process)] = _Process(context, blueprint)
    finally:
        for process in processes:
            process.end()


def _run_here(blueprint: Blueprint, parts: Sequence[Part]) -> Iterator[Result]:
    worker = Worker(blueprint)
    for part in parts:
        try:
            result = worker.run(part)
        except Exception:
            worker = Worker(blueprint)
            try:
                result = worker.run(part)
            except Exception as error:
                raise PartFailed(f"{part}: {error}") from error
        yield result
