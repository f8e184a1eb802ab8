import os as _os
from libcpp.string cimport string as _String
from libcpp.vector cimport vector as _Vector

# Getting hold of new files while the tail thread scans: core/watcher.hpp has the thread.

cdef extern from "core/watcher.hpp" nogil:
    cppclass LookoutThread:
        int ready
        int start() noexcept
        int watch(const char* directory, _Vector[_String]* pieces) noexcept
        bint take(_String* path, int* fd) noexcept
        void stop() noexcept
    size_t LOOKOUT_HELD "LookoutThread::HELD"

cdef extern from * nogil:
    LookoutThread* nm_new_lookout "nm_new<LookoutThread>" () noexcept
    void nm_delete_lookout "nm_delete<LookoutThread>" (LookoutThread* lookout) noexcept


cdef class Lookout:
    """See _core.pyi."""

    cdef LookoutThread* thread
    HELD = LOOKOUT_HELD

    def __cinit__(self):
        self.thread = nm_new_lookout()
        if self.thread == NULL:
            raise MemoryError()
        problem = self.thread.start()
        if problem:
            raise OSError(problem, _os.strerror(problem))

    def __dealloc__(self):
        with nogil:
            nm_delete_lookout(self.thread)

    def fileno(self):
        return self.thread.ready

    def watch(self, str directory not None, list pieces not None):
        cdef _Vector[_String] wanted
        for piece in pieces:
            wanted.push_back(_os.fsencode(piece))
        problem = self.thread.watch(_os.fsencode(directory), &wanted)
        if problem:
            raise OSError(problem, _os.strerror(problem), directory)

    def take(self):
        cdef _String path
        cdef int fd
        held = []
        if self.thread.ready >= 0:
            try:
                _os.eventfd_read(self.thread.ready)
            except BlockingIOError:
                pass
        while self.thread.take(&path, &fd):
            held.append((_os.fsdecode(path), fd))
        return held

    def close(self):
        with nogil:
            self.thread.stop()
