// Lines of a block: counting and finding their ends at the speed of memory.
#pragma once
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace nm {

// Written so that the compiler vectorises it: byte counters, flushed before they can overflow.
inline size_t count_newlines(const char *p, size_t n) noexcept {
    size_t total = 0, at = 0;
    while (at < n) {
        size_t stop = n - at < 64 * 255 ? n : at + 64 * 255;
        uint8_t lanes[64] = {0};
        for (; at + 64 <= stop; at += 64)
            for (int i = 0; i < 64; i++) lanes[i] += p[at + i] == '\n';
        for (int i = 0; i < 64; i++) total += lanes[i];
        if (stop == n) {
            for (; at < n; at++) total += p[at] == '\n';
        }
    }
    return total;
}

// The end of the line that `at` is in: its newline, or `end`.
inline const char *find_line_end(const char *at, const char *end) noexcept {
    auto *newline = static_cast<const char *>(std::memchr(at, '\n', size_t(end - at)));
    return newline ? newline : end;
}

// The start of the line that `at` is in, not before `first`.
inline const char *find_line_start(const char *at, const char *first) noexcept {
    auto *newline = static_cast<const char *>(memrchr(first, '\n', size_t(at - first)));
    return newline ? newline + 1 : first;
}

inline void sort_words(uint64_t *words, size_t n) noexcept { std::sort(words, words + n); }

inline int lowest_bit(uint64_t word) noexcept { return __builtin_ctzll(word); }

}  // namespace nm
