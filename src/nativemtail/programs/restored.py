"""The metrics of an earlier run: the programs that are loaded first inherit from them, as at a reload."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from nativemtail._core import Metric


class Restored:
    """The metrics by program.  They stay until the program of that name is loaded, or its file is gone.

    So what a program had counted is shown while its new text has an error.
    """

    def __init__(self, metrics: Sequence[Metric] = (), version: Callable[[bytes], str] = lambda text: "") -> None:
        """`version` gives what stands for the text of a program in `Metric.version`."""
        self.version = version
        self.there: set[str] | None = None
        """The programs that have a file, once that is known."""
        self._programs: dict[str, list[Metric]] = {}
        for metric in metrics:
            self._programs.setdefault(metric.program, []).append(metric)

    def of(self, programs: Iterable[str]) -> list[Metric]:
        return [metric for name in programs for metric in self._programs.get(name, ())]

    @property
    def without_file(self) -> list[str]:
        """The programs whose files are gone."""
        return [name for name in self._programs if self.there is not None and name not in self.there]

    def is_of(self, name: str, text: bytes) -> bool:
        """Whether the metrics of the program come from this text, so that `begin` has run already."""
        version = self.version(text)
        return bool(version) and any(metric.version == version for metric in self._programs.get(name, ()))

    def drop(self, programs: Iterable[str]) -> None:
        """Forget them once they have been inherited from."""
        for name in programs:
            self._programs.pop(name, None)
