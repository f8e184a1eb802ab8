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

// Appends the offsets of the newlines in p[at..n), n below 2³², to the `count` ones in `ends`, which is large enough;
// returns the new count.  `ascii` is cleared if there is a byte above 0x7F.
inline size_t index_rest(const char *p, size_t at, size_t n, uint32_t *ends, size_t count, bool *ascii) noexcept {
    for (; at < n; at++) {
        if (p[at] == '\n') ends[count++] = uint32_t(at);
        if (static_cast<signed char>(p[at]) < 0) *ascii = false;
    }
    return count;
}

#if defined(__x86_64__)
inline size_t note_newlines(uint64_t newlines, size_t at, uint32_t *ends, size_t count) noexcept {
    ends[count] = uint32_t(at + __builtin_ctzll(newlines | UINT64_C(1) << 63));  // usually one or none, in no order
    count += newlines != 0;                                                      // that a branch could predict
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

// Stores the offsets of the newlines in p[0..n) and whether all bytes are ASCII; returns how many newlines.
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

inline size_t count_newlines(const char *at, const char *end) noexcept { return size_t(std::count(at, end, '\n')); }

inline void sort_words(uint64_t *words, size_t n) noexcept { std::sort(words, words + n); }

inline int lowest_bit(uint64_t word) noexcept { return __builtin_ctzll(word); }

struct TimestampMemo {  // a time that lines begin with, and the byte after it
    uint8_t least[48];
    uint8_t more[48];  // by how much each byte may be larger, which lets the seconds vary
    size_t n;          // 0: empty
};

// `seconds`: offset of two digits that may vary from 00 to 59; 0: none.  False if p[0..n) is too long.
inline bool timestamp_set(TimestampMemo *memo, const char *p, size_t n, size_t seconds) noexcept {
    if (n > sizeof memo->least) return false;
    std::memset(memo->least, 0, sizeof memo->least);
    std::memset(memo->more, 0xFF, sizeof memo->more);
    std::memcpy(memo->least, p, n);
    std::memset(memo->more, 0, n);
    if (seconds) {
        std::memset(memo->least + seconds, '0', 2);
        memo->more[seconds] = 5;
        memo->more[seconds + 1] = 9;
    }
    memo->n = n;
    return true;
}

// Whether p, which has at least as many bytes, begins with the memo.
inline bool timestamp_is(const TimestampMemo &memo, const char *p) noexcept {
    for (size_t i = 0; i < memo.n; i++)
        if (uint8_t(p[i] - memo.least[i]) > memo.more[i]) return false;
    return true;
}

#if defined(__x86_64__)
inline bool timestamp_is_16(const TimestampMemo &memo, size_t at, const char *p) noexcept {
    const __m128i least = _mm_loadu_si128(reinterpret_cast<const __m128i *>(memo.least + at));
    const __m128i more = _mm_loadu_si128(reinterpret_cast<const __m128i *>(memo.more + at));
    const __m128i found = _mm_sub_epi8(_mm_loadu_si128(reinterpret_cast<const __m128i *>(p + at)), least);
    return _mm_movemask_epi8(_mm_cmpeq_epi8(_mm_min_epu8(found, more), found)) == 0xFFFF;
}

// timestamp_is() for p with at least 48 readable bytes.
inline bool timestamp_is_wide(const TimestampMemo &memo, const char *p) noexcept {
    if (!timestamp_is_16(memo, 0, p)) return false;
    return memo.n <= 16 || (timestamp_is_16(memo, 16, p) && timestamp_is_16(memo, 32, p));
}
#else
inline bool timestamp_is_wide(const TimestampMemo &memo, const char *p) noexcept { return timestamp_is(memo, p); }
#endif

// The first line from `line` on that does not begin with the memo, in the block base[0..n).
inline size_t skip_timestamps(const char *base, size_t n, const uint32_t *ends, size_t line, size_t lines,
                              const TimestampMemo &memo) noexcept {
    const char *at = base + (line ? ends[line - 1] + size_t{1} : 0);
    const char *const wide = n < sizeof memo.least ? base : base + n - sizeof memo.least;
    for (; line < lines; line++) {
        const char *end = base + ends[line];
        if (size_t(end - at) < memo.n) break;
        if (!(at < wide ? timestamp_is_wide(memo, at) : timestamp_is(memo, at))) break;
        at = end + 1;
    }
    return line;
}

// The first line from `line` on, at most `limit`, whose first byte has another verdict in the table, or whose
// predecessor ends in a carriage return.  `line` is not the first one of the piece.
inline size_t pass_lines(const char *base, const uint32_t *ends, size_t line, size_t limit, const uint8_t *table,
                         uint8_t verdict) noexcept {
    for (; line < limit; line++) {
        const uint32_t end = ends[line - 1];
        if (table[static_cast<uint8_t>(base[end + size_t{1}])] != verdict) break;
        if (end && base[end - 1] == '\r') break;
    }
    return line;
}

}  // namespace nm
