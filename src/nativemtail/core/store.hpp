// What the store needs from C++: a fair lock, a keyed hash of short byte strings, prefetching, vectorised search.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <mutex>
#include <new>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include "bytes.hpp"

namespace nm {

// Threads are served in the order in which they came.  A thread that releases the lock and acquires it again queues
// behind those that wait, so neither the engine nor a reader that works in slices can starve the other.
class TicketLock {
    std::mutex guard;
    std::condition_variable turn;
    uint64_t next = 0;
    uint64_t serving = 0;
    std::atomic<uint32_t> waiting{0};

  public:
    void acquire() {
        std::unique_lock<std::mutex> hold(guard);
        const uint64_t mine = next++;
        if (mine == serving) return;
        waiting.fetch_add(1, std::memory_order_relaxed);
        turn.wait(hold, [&] { return serving == mine; });
        waiting.fetch_sub(1, std::memory_order_relaxed);
    }

    // False: it is held, or others wait for it.
    bool try_acquire() {
        std::lock_guard<std::mutex> hold(guard);
        if (next != serving) return false;
        next++;
        return true;
    }

    void release() {
        {
            std::lock_guard<std::mutex> hold(guard);
            serving++;
        }
        if (wanted()) turn.notify_all();
    }

    bool wanted() const { return waiting.load(std::memory_order_relaxed) != 0; }
};

// NULL without memory.
template <class T> static inline T *new_object() { return new (std::nothrow) T(); }
template <class T> static inline void delete_object(T *p) { delete p; }

// Prefetch p[0..n), which must span at most two cache lines.
static inline void prefetch(const void *p, size_t n) {
    __builtin_prefetch(p);
    __builtin_prefetch(static_cast<const char *>(p) + n - 1);
    asm volatile("");  // without this GCC treats the function as free of effects and drops its calls
}

static inline uint64_t fold_product(uint64_t a, uint64_t b) {
    const unsigned __int128 product = static_cast<unsigned __int128>(a) * b;
    return static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64);
}

// Continues the hash `state` with p[0..n).  Every byte read is or-ed into `seen`, so its high bits reveal non-ASCII.
static inline uint64_t hash_bytes(uint64_t state, const uint64_t *seed, const char *p, size_t n, uint64_t *seen) {
    uint64_t a, b;
    const size_t length = n;
    while (n > 16) {
        a = load_u64(p);
        b = load_u64(p + 8);
        *seen |= a | b;
        state = fold_product(a ^ seed[0], b ^ state);
        p += 16;
        n -= 16;
    }
    if (n >= 8) {
        a = load_u64(p);
        b = load_u64(p + n - 8);
    } else if (n >= 4) {
        a = load_u32(p);
        b = load_u32(p + n - 4);
    } else if (n > 0) {
        a = static_cast<uint8_t>(p[0]);
        b = static_cast<uint64_t>(static_cast<uint8_t>(p[n / 2])) << 8 | static_cast<uint8_t>(p[n - 1]);
    } else {
        a = b = 0;
    }
    *seen |= a | b;
    state = fold_product(a ^ seed[1], b ^ state);
    return fold_product(state ^ seed[2], length ^ seed[3]);
}

// The index of `value` in p[from..end), or `end`.
static inline size_t find_u16(const uint16_t *p, uint16_t value, size_t from, size_t end) {
#ifdef __SSE2__
    const __m128i wanted = _mm_set1_epi16(static_cast<short>(value));
    for (; from + 16 <= end; from += 16) {
        const __m128i a = _mm_cmpeq_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i *>(p + from)), wanted);
        const __m128i b = _mm_cmpeq_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i *>(p + from + 8)), wanted);
        if (_mm_movemask_epi8(_mm_or_si128(a, b))) break;
    }
#endif
    while (from < end && p[from] != value) from++;
    return from < end ? from : end;
}

// The first 8 bytes of p[0..n) as a number that sorts as they do, padded with zeros.
static inline uint64_t sort_word(const char *p, size_t n) {
    uint64_t v = 0;
    if (n >= 8) return __builtin_bswap64(load_u64(p));
    for (size_t i = 0; i < n; i++) v |= static_cast<uint64_t>(static_cast<uint8_t>(p[i])) << (56 - 8 * i);
    return v;
}

}  // namespace nm
