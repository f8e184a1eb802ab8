// Lines of a block: finding their ends at the speed of memory.
#pragma once
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "bytes.hpp"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace nm {

// Offsets of the newlines in p[at..n), n below 2³², go to `ends` from `count` on, which has room for them; how many
// there are then.  `ascii` is cleared when there is a byte above 0x7F.
inline size_t index_rest(const char *p, size_t at, size_t n, uint32_t *ends, size_t count, bool *ascii) noexcept {
    for (; at < n; at++) {
        if (p[at] == '\n') ends[count++] = uint32_t(at);
        if (static_cast<signed char>(p[at]) < 0) *ascii = false;
    }
    return count;
}

#if defined(__x86_64__)
inline size_t note_newlines(uint64_t newlines, size_t at, uint32_t *ends, size_t count) noexcept {
    ends[count] = uint32_t(at + __builtin_ctzll(newlines | UINT64_C(1) << 63));  // most often there is one or none,
    count += newlines != 0;                                                     // which no branch foresees
    for (newlines &= newlines - 1; newlines; newlines &= newlines - 1)
        ends[count++] = uint32_t(at + __builtin_ctzll(newlines));
    return count;
}

__attribute__((target("avx2"))) inline size_t index_avx2(const char *p, size_t n, uint32_t *ends,
                                                         bool *ascii) noexcept {
    const __m256i newline = _mm256_set1_epi8('\n');
    __m256i all = _mm256_setzero_si256();
    size_t at = 0, count = 0;
    for (; at + 64 <= n; at += 64) {
        const __m256i low = _mm256_loadu_si256(reinterpret_cast<const __m256i *>(p + at));
        const __m256i high = _mm256_loadu_si256(reinterpret_cast<const __m256i *>(p + at + 32));
        all = _mm256_or_si256(all, _mm256_or_si256(low, high));
        const uint32_t first = _mm256_movemask_epi8(_mm256_cmpeq_epi8(low, newline));
        const uint32_t second = _mm256_movemask_epi8(_mm256_cmpeq_epi8(high, newline));
        count = note_newlines(uint64_t{second} << 32 | first, at, ends, count);
    }
    *ascii = _mm256_movemask_epi8(all) == 0;
    return index_rest(p, at, n, ends, count, ascii);
}

inline size_t index_sse2(const char *p, size_t n, uint32_t *ends, bool *ascii) noexcept {
    const __m128i newline = _mm_set1_epi8('\n');
    __m128i all = _mm_setzero_si128();
    size_t at = 0, count = 0;
    for (; at + 64 <= n; at += 64) {
        uint64_t newlines = 0;
        for (int i = 0; i < 4; i++) {
            const __m128i part = _mm_loadu_si128(reinterpret_cast<const __m128i *>(p + at) + i);
            all = _mm_or_si128(all, part);
            newlines |= uint64_t(uint32_t(_mm_movemask_epi8(_mm_cmpeq_epi8(part, newline)))) << (16 * i);
        }
        count = note_newlines(newlines, at, ends, count);
    }
    *ascii = _mm_movemask_epi8(all) == 0;
    return index_rest(p, at, n, ends, count, ascii);
}
#endif

// Offsets of the newlines in p[0..n); whether all bytes are ASCII.
inline size_t index_lines(const char *p, size_t n, uint32_t *ends, bool *ascii) noexcept {
#if defined(__x86_64__)
    static const bool has_avx2 = __builtin_cpu_supports("avx2");
    return has_avx2 ? index_avx2(p, n, ends, ascii) : index_sse2(p, n, ends, ascii);
#else
    *ascii = true;
    return index_rest(p, 0, n, ends, 0, ascii);
#endif
}

inline const char *find_newline(const char *at, const char *end) noexcept {
    auto *newline = static_cast<const char *>(std::memchr(at, '\n', size_t(end - at)));
    return newline ? newline : end;
}

inline void sort_words(uint64_t *words, size_t n) noexcept { std::sort(words, words + n); }

inline int lowest_bit(uint64_t word) noexcept { return __builtin_ctzll(word); }

// Whether p[0..n) and q[0..n) are the same; n is at least 16.
inline bool same_long(const char *p, const char *q, size_t n) noexcept {
    for (size_t at = 0;; at += 16) {
        if (at + 16 > n) at = n - 16;
        uint64_t a[2], b[2];
        std::memcpy(a, p + at, 16);
        std::memcpy(b, q + at, 16);
        if ((a[0] ^ b[0]) | (a[1] ^ b[1])) return false;
        if (at + 16 == n) return true;
    }
}

// Whether p[0..n) is the same as `memo`, but for the two digits at `seconds`, which may be others from 00 to 59; 0: as
// they are.  `seconds` is n - 3 then, and 13 at least.
inline bool same_moment(const char *p, const char *memo, size_t n, size_t seconds) noexcept {
    if (!seconds) return same_long(p, memo, n);
    if (p[n - 1] != memo[n - 1] || uint8_t(p[seconds] - '0') > 5 || uint8_t(p[seconds + 1] - '0') > 9) return false;
    if (seconds > 16) return same_long(p, memo, seconds);
    return nm_same(p, memo, seconds);
}

// The first line from `line` on that does not begin with such a moment.
inline size_t skip_moments(const char *base, const uint32_t *ends, size_t line, size_t lines, const char *memo,
                           size_t n, size_t seconds) noexcept {
    size_t start = line ? ends[line - 1] + size_t{1} : 0;
    for (; line < lines; line++) {
        if (ends[line] - start < n || !same_moment(base + start, memo, n, seconds)) break;
        start = ends[line] + size_t{1};
    }
    return line;
}

}  // namespace nm
