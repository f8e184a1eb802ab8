"""Merges sorted runs that are read piece by piece, so that only a piece of each is in memory."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from typing import Generic, TypeVar

T = TypeVar("T")


class Run(ABC, Generic[T]):
    """Rows in the order of a number, of which those read last and not taken yet are held."""

    def __init__(self, pieces: Iterator[T]) -> None:
        self._pieces = pieces
        self.is_at_end = False

    @abstractmethod
    def __len__(self) -> int:
        """How many rows are held."""

    @property
    @abstractmethod
    def last(self) -> int:
        """The number of the last row that is held."""

    @abstractmethod
    def take(self, bound: int | None) -> T:
        """The rows whose number is less than `bound`, or all."""

    @abstractmethod
    def hold(self, piece: T) -> None:
        """Put a piece behind what is held."""

    def fill(self) -> bool:
        """Have rows; whether there are any."""
        while not len(self) and not self.is_at_end:
            self.more()
        return len(self) > 0

    def more(self) -> None:
        piece = next(self._pieces, None)
        if piece is None:
            self.is_at_end = True
        else:
            self.hold(piece)


def merged(runs: Sequence[Run[T]], combine: Callable[[Sequence[T]], T | None]) -> Iterator[T]:
    """What `combine` makes of the rows of all runs with the next numbers; rows of one number are never apart."""
    while runs := [run for run in runs if run.fill()]:
        bound = min((run.last for run in runs if not run.is_at_end), default=None)
        whole = combine([run.take(bound) for run in runs])
        if whole is not None:
            yield whole
        else:  # more rows of one number than are read at once
            for run in runs:
                if not run.is_at_end and run.last == bound:
                    run.more()
