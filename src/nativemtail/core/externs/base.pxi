# Declarations of the C library, of CPython and of the headers that all extensions need.  External declarations are in
# externs/ only.

from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.math cimport HUGE_VAL, INFINITY, NAN, fmod, isinf, isnan, signbit
from libc.stddef cimport size_t
from libc.stdint cimport (
    INT64_MAX, INT64_MIN, SIZE_MAX, UINT64_MAX, int8_t, int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t)
from libc.stdlib cimport calloc, free, malloc, realloc
from libc.string cimport memchr, memcmp, memcpy, memmove, memset, strlen
from posix.time cimport CLOCK_MONOTONIC, CLOCK_REALTIME, CLOCK_THREAD_CPUTIME_ID, clock_gettime, timespec

cdef extern from "Python.h":
    int PyGC_Disable() noexcept
    int PyGC_Enable() noexcept

cdef extern from "<stdlib.h>" nogil:
    void* aligned_alloc(size_t alignment, size_t size) noexcept

cdef extern from "<string.h>" nogil:
    void* memmem(const void* haystack, size_t n, const void* needle, size_t m) noexcept

cdef extern from "core/native.hpp" namespace "nm" nogil:
    size_t nm_ascii_blocks(const char* p, size_t n) noexcept
    size_t nm_ascii_prefix(const char* p, size_t n) noexcept
    int nm_shortest(double v, char* digits, int* exponent) noexcept
    size_t nm_int_text(int64_t v, char* out) noexcept
    int nm_read_double(const char* p, size_t n, bint hex, double* out) noexcept
    bint nm_plain_double(const char* p, size_t n, double* out) noexcept
    double nm_power(double x, double y) noexcept
    uint64_t nm_ticks() noexcept
    uint32_t nm_lower(uint32_t rune) noexcept
    bint nm_printable(uint32_t rune) noexcept

cdef extern from "core/relaxed.hpp" namespace "nm" nogil:
    T nm_load[T](const T* p) noexcept
    void nm_put[T](T* p, T v) noexcept
    void nm_add[T](T* p, T more) noexcept

cdef extern from "core/store.hpp" namespace "nm" nogil:
    cppclass TicketLock:
        void acquire() noexcept
        bint try_acquire() noexcept
        void release() noexcept
        bint wanted() noexcept
    TicketLock* nm_new_lock "nm::nm_new<nm::TicketLock>" () noexcept
    void nm_delete_lock "nm::nm_delete<nm::TicketLock>" (TicketLock* lock) noexcept
    uint64_t nm_hash(uint64_t state, const uint64_t* seed, const char* p, size_t n, uint64_t* seen) noexcept
    bint nm_same(const char* p, const char* q, size_t n) noexcept
    void nm_prefetch(const void* p, size_t n) noexcept
    uint64_t nm_sort_word(const char* p, size_t n) noexcept
    size_t nm_find16(const uint16_t* p, uint16_t value, size_t from_, size_t end) noexcept
