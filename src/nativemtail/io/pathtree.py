"""A set of absolute paths that can list those below a directory without visiting all others."""

from __future__ import annotations

from collections.abc import Iterator


class PathTree:
    """Adding, removing and finding take time proportional to the depth of the path."""

    __slots__ = ("_children", "_paths")

    def __init__(self) -> None:
        self._paths: set[str] = set()
        self._children: dict[str, set[str]] = {}

    def add(self, path: str) -> None:
        self._paths.add(path)
        while path != "/":
            parent = _parent(path)
            children = self._children.setdefault(parent, set())
            if path in children:
                return
            children.add(path)
            path = parent

    def discard(self, path: str) -> None:
        self._paths.discard(path)
        while path != "/" and path not in self._children and path not in self._paths:
            parent = _parent(path)
            children = self._children.get(parent)
            if children is None:
                return
            children.discard(path)
            if children:
                return
            del self._children[parent]
            path = parent

    def below(self, directory: str) -> list[str]:
        """The paths below `directory`, without itself."""
        return list(self._walk(directory))

    def _walk(self, directory: str) -> Iterator[str]:
        waiting = [directory]
        while waiting:
            for path in self._children.get(waiting.pop(), ()):
                waiting.append(path)
                if path in self._paths:
                    yield path


def _parent(path: str) -> str:
    return path.rpartition("/")[0] or "/"
