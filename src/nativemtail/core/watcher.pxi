# FileWatcher: the Python class around core/watcher.hpp.

import os as _os


cdef class FileWatcher:
    """See _core.pyi."""

    cdef WatcherThread* thread
    HELD = WATCHER_HELD
    EVENTS = WATCHER_EVENTS

    def __cinit__(self, bint thread=True):
        self.thread = new_watcher()
        if self.thread == NULL:
            raise MemoryError()
        problem = self.thread.start(thread)
        if problem:
            raise OSError(problem, _os.strerror(problem))

    def __dealloc__(self):
        with nogil:
            delete_watcher(self.thread)

    def fileno(self):
        return self.thread.descriptor()

    def add(self, str path not None, unsigned mask):
        cdef bytes name = _os.fsencode(path)
        cdef const char* text = name
        cdef int number
        with nogil:
            number = self.thread.add(text, mask)
        if number < 0:
            raise OSError(-number, _os.strerror(-number), path)
        return number

    def remove(self, int number):
        with nogil:
            self.thread.remove(number)

    def open_new(self, int number, str directory not None, list pieces not None):
        cdef vector[string] wanted
        for piece in pieces:
            wanted.push_back(_os.fsencode(piece))
        problem = self.thread.open_new(number, _os.fsencode(directory), &wanted)
        if problem:
            raise OSError(problem, _os.strerror(problem), directory)

    def read(self, size_t most):
        cdef vector[WatchEvent] found
        with nogil:
            self.thread.read(most, &found)
        events = []
        cdef size_t done = 0
        try:
            while done < found.size():
                event = (
                    found[done].watch, found[done].mask, found[done].cookie, _os.fsdecode(found[done].name), found[done].fd
                )
                events.append(event)
                done += 1
        except BaseException:
            for i in range(found.size()):
                if found[i].fd >= 0:
                    _os.close(found[i].fd)
            raise
        return events

    def close(self):
        with nogil:
            self.thread.stop()
