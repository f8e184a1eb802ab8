import os as _os
from libcpp.string cimport string as _String
from libcpp.vector cimport vector as _Vector

# inotify, read by a thread of its own: core/watcher.hpp.

cdef extern from "core/watcher.hpp" nogil:
    cppclass WatchEvent:
        int watch
        unsigned mask
        unsigned cookie
        _String name
        int fd
    cppclass WatcherThread:
        int start(bint with_thread) noexcept
        int descriptor() noexcept
        int add(const char* path, unsigned mask) noexcept
        void remove(int number) noexcept
        int open_new(int number, const char* directory, _Vector[_String]* pieces) noexcept
        void read(size_t most, _Vector[WatchEvent]* found) noexcept
        void stop() noexcept
    size_t WATCHER_HELD "WatcherThread::HELD"
    size_t WATCHER_EVENTS "WatcherThread::EVENTS"

cdef extern from * nogil:
    WatcherThread* nm_new_watcher "nm_new<WatcherThread>" () noexcept
    void nm_delete_watcher "nm_delete<WatcherThread>" (WatcherThread* watcher) noexcept


cdef class FileWatcher:
    """See _core.pyi."""

    cdef WatcherThread* thread
    HELD = WATCHER_HELD
    EVENTS = WATCHER_EVENTS

    def __cinit__(self, bint thread=True):
        self.thread = nm_new_watcher()
        if self.thread == NULL:
            raise MemoryError()
        problem = self.thread.start(thread)
        if problem:
            raise OSError(problem, _os.strerror(problem))

    def __dealloc__(self):
        with nogil:
            nm_delete_watcher(self.thread)

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
        cdef _Vector[_String] wanted
        for piece in pieces:
            wanted.push_back(_os.fsencode(piece))
        problem = self.thread.open_new(number, _os.fsencode(directory), &wanted)
        if problem:
            raise OSError(problem, _os.strerror(problem), directory)

    def read(self, size_t most):
        cdef _Vector[WatchEvent] found
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
