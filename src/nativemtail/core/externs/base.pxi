# Declarations of the C library, of CPython and of the headers that all extensions need.  External declarations are in
# externs/ only.

from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytearray cimport PyByteArray_FromStringAndSize
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.math cimport (
    HUGE_VAL, INFINITY, NAN, ceil, exp, fabs, floor, fmod, isfinite, isinf, isnan, log, log10, round, signbit, sqrt)
from libc.stddef cimport size_t
from libc.stdint cimport (
    INT64_MAX, INT64_MIN, SIZE_MAX, UINT64_MAX, int8_t, int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t)
from libc.stdlib cimport calloc, free, malloc, realloc
from libc.string cimport memchr, memcmp, memcpy, memmove, memset, strlen
from libcpp.vector cimport vector
from posix.time cimport CLOCK_MONOTONIC, CLOCK_REALTIME, CLOCK_THREAD_CPUTIME_ID, clock_gettime, timespec

cdef extern from "Python.h":
    int PyGC_Disable() noexcept
    int PyGC_Enable() noexcept

cdef extern from "<stdlib.h>" nogil:
    void* aligned_alloc(size_t alignment, size_t size) noexcept

cdef extern from "<arpa/inet.h>" nogil:
    enum:
        AF_INET
        AF_INET6
    int inet_pton(int family, const char* text, void* address) noexcept

cdef extern from "<string.h>" nogil:
    void* memmem(const void* haystack, size_t n, const void* needle, size_t m) noexcept

cdef extern from "core/native.hpp" namespace "nm" nogil:
    size_t ascii_blocks(const char* p, size_t n) noexcept
    size_t ascii_prefix(const char* p, size_t n) noexcept
    int shortest_digits(double v, char* digits, int* exponent) noexcept
    size_t int_text(int64_t v, char* out) noexcept
    int read_double(const char* p, size_t n, bint hex, double* out) noexcept
    bint read_plain_double(const char* p, size_t n, double* out) noexcept
    double float_power(double x, double y) noexcept
    uint64_t cpu_ticks() noexcept
    uint32_t lower_rune(uint32_t rune) noexcept
    uint32_t upper_rune(uint32_t rune) noexcept
    bint is_printable(uint32_t rune) noexcept

cdef extern from "core/relaxed.hpp" namespace "nm" nogil:
    T relaxed_load[T](const T* p) noexcept
    void relaxed_store[T](T* p, T v) noexcept
    void relaxed_add[T](T* p, T more) noexcept

cdef extern from "core/history.hpp" namespace "nm" nogil:
    enum:
        HISTORY_SUM "nm::kHistorySum"
        HISTORY_EXACT "nm::kHistoryExact"
        HISTORY_LATEST "nm::kHistoryLatest"
        HISTORY_OBSERVED "nm::kHistoryObserved"
        HISTORY_BUCKET "nm::kBucket"
    ctypedef struct Cell:
        int64_t key
        int64_t value
        int64_t time
    cppclass Cells:
        Cell* p
        uint32_t n
    cppclass Ended:
        char* key
        int64_t step
        Cells cells
    cppclass History:
        int how
        int64_t ends_at
        bint failed
        size_t memory
        vector[Ended] ended
        int64_t step_of(int64_t time) noexcept
        void add(uint32_t slot, int64_t time, int64_t part, int64_t delta) noexcept
        void add_exactly(uint32_t slot, int64_t time, double x) noexcept
        void put(uint32_t slot, int64_t time, int64_t value) noexcept
        void end(uint32_t slot, const char* key, size_t n) noexcept
        void sort(Cells& cells) noexcept
        Cells* cells_of(uint32_t slot) noexcept
        void clear() noexcept
    History* new_history(int how, int64_t step, int64_t ranges) noexcept
    void delete_history(History* history) noexcept

cdef extern from "core/store.hpp" namespace "nm" nogil:
    cppclass TicketLock:
        void acquire() noexcept
        bint try_acquire() noexcept
        void release() noexcept
        bint wanted() noexcept
    TicketLock* new_lock "nm::new_object<nm::TicketLock>" () noexcept
    void delete_lock "nm::delete_object<nm::TicketLock>" (TicketLock* lock) noexcept
    uint64_t hash_bytes(uint64_t state, const uint64_t* seed, const char* p, size_t n, uint64_t* seen) noexcept
    bint same_bytes(const char* p, const char* q, size_t n) noexcept
    void prefetch(const void* p, size_t n) noexcept
    uint64_t sort_word(const char* p, size_t n) noexcept
    size_t find_u16(const uint16_t* p, uint16_t value, size_t from_, size_t end) noexcept
