// The multi-literal matcher, after Hyperscan's Teddy: finds many literals in one vectorised pass over a block, exactly.
// It is faster than Hyperscan if the literals have rare bytes (compiler/prefilter/teddy.py chooses them).  At every
// position six or seven neighbouring bytes are tested, by their low nibbles and the last one's high nibble, against
// eight buckets of literals.  A position that passes for some bucket is a candidate.  To confirm it, the up to eight
// bytes that end there, its window, are looked up in a table, and the literals of that window are compared.
#pragma once
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "lines.hpp"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace nm {

struct Needle {  // a literal, with what is needed to compare it at a window
    const char *text;
    uint32_t n;
    uint32_t before;  // bytes of it before the end of the window
    uint32_t literal;
    uint32_t caseless;  // if so, the text is in lower case
    uint64_t word;      // the last eight of these bytes, the last one most significant
    uint64_t mask;      // which bits of `word` count
    char head[32];      // the text's first 16 bytes, zero-padded, then a mask of those that it has
};

// Computes the derived fields.
inline void needle_finish(Needle *needle) noexcept {
    const size_t n = needle->n < 16 ? needle->n : 16;
    std::memset(needle->head, 0, sizeof needle->head);
    std::memcpy(needle->head, needle->text, n);
    std::memset(needle->head + 16, 0xFF, n);
    needle->word = needle->mask = 0;
    for (uint32_t i = 0; i < 8 && i < needle->before; i++) {
        const uint8_t c = uint8_t(needle->text[needle->before - 1 - i]);
        const uint8_t bits = needle->caseless && c >= 'a' && c <= 'z' ? 0xDF : 0xFF;
        needle->word |= uint64_t(c & bits) << (56 - 8 * i);
        needle->mask |= uint64_t{bits} << (56 - 8 * i);
    }
}

constexpr int kTestedMost = 7;

struct TeddyCell {  // the needles of a window: which are first, and how many
    uint32_t first;
    uint32_t count;
};

struct Teddy {
    uint8_t low[kTestedMost][16];  // [distance before the last byte][low nibble] → buckets
    uint8_t high[16];              // high nibble of the last byte → buckets
    uint32_t tested;               // number of tested bytes: six or seven
    uint64_t masks[8];             // by bucket: mask of the bytes that its windows have
    uint64_t fold;                 // or-ed to all windows: 0x20 in each byte where case may not matter
    uint64_t *keys;                // by cell: the window, last byte most significant; 0: empty.  NULL: matcher not used
    TeddyCell *cells;
    Needle *needles;
    uint64_t factor;  // multiplier of the hash from key to cell
    uint32_t shift;   // 64 - the logarithm of the number of cells
};

using OnFound = int (*)(unsigned literal, unsigned long long, unsigned long long to, unsigned, void *data);

inline size_t teddy_cell(const Teddy &s, uint64_t key) noexcept { return key * s.factor >> s.shift; }

// Next hash multiplier, an odd number.
inline void teddy_reorder(Teddy *s) noexcept {
    s->factor = s->factor ? s->factor * UINT64_C(6364136223846793005) + 2 : UINT64_C(0x9E3779B97F4A7C15);
}

// Enters a window with `count` needles from `first` on; false if its cell is taken by another.
inline bool teddy_enter(Teddy *s, uint64_t key, uint32_t first, uint32_t count) noexcept {
    const size_t at = teddy_cell(*s, key);
    if (s->keys[at]) return false;
    s->keys[at] = key;
    s->cells[at] = {first, count};
    return true;
}

#if defined(__x86_64__)

inline bool teddy_works() noexcept { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi"); }

constexpr size_t kCandidates = 1024;  // candidates that are confirmed together
constexpr size_t kSparse = 512;       // more bytes per candidate than this: use the code for few candidates

struct Candidates {  // line (or one shortly before) << 40 | offset << 8 | buckets
    uint64_t list[kCandidates + 64];
    size_t n;
    size_t total;
};

// `room` bytes may be read, at least as many as the needle has.
inline bool is_at(const Needle &needle, const char *at, size_t room) noexcept {
    if (!needle.caseless && needle.n <= 16 && room >= 16) return starts_with_word(needle.head, at);
    if (!needle.caseless) return same_bytes(at, needle.text, needle.n);
    for (uint32_t i = 0; i < needle.n; i++) {
        const bool upper = at[i] >= 'A' && at[i] <= 'Z';
        if ((upper ? at[i] | 0x20 : at[i]) != needle.text[i]) return false;
    }
    return true;
}

// The eight bytes before p[end], the last one most significant, padded with zeros.
inline uint64_t last_eight(const char *p, size_t end) noexcept {
    uint64_t word = 0;
    if (end >= 8)
        std::memcpy(&word, p + end - 8, 8);
    else
        std::memcpy(reinterpret_cast<char *>(&word) + 8 - end, p, end);
    return word;
}

// Compares the literals of a window at a candidate, and reports those that are there; false: stop.
inline bool compare(const Teddy &s, const char *p, size_t n, const uint32_t *ends, size_t lines, uint64_t candidate,
                    size_t cell, OnFound on_found, void *data) noexcept {
    const size_t end = (candidate >> 8 & UINT32_MAX) + 1;
    size_t line = candidate >> 40;
    const Needle *needle = s.needles + s.cells[cell].first;
    const uint64_t word = last_eight(p, end);
    for (uint32_t i = s.cells[cell].count; i; i--, needle++) {
        if ((word & needle->mask) != needle->word) continue;
        if (end < needle->before || end - needle->before + needle->n > n) continue;
        const size_t start = end - needle->before;
        if (!is_at(*needle, p + start, n - start)) continue;
        line += line < lines && ends[line] < end;  // usually 0 or 1, in no order that a branch could predict
        while (line < lines && ends[line] < end) line++;
        if (on_found(needle->literal, 0, line, 0, data)) return false;
    }
    return true;
}

// Confirms the candidates.  The lookup of windows is branch-free, as its outcome is unpredictable.  False: stop.
inline bool confirm(const Teddy &s, const char *p, size_t n, const uint32_t *ends, size_t lines, Candidates *candidates,
                    OnFound on_found, void *data) noexcept {
    uint64_t found[8 * (kCandidates + 64)];  // number of the candidate << 32 | cell
    size_t count = 0;
    for (size_t i = 0; i < candidates->n; i++) {
        const size_t end = (candidates->list[i] >> 8 & UINT32_MAX) + 1;
        const uint64_t word = last_eight(p, end) | s.fold;
        uint32_t buckets = candidates->list[i] & 255;
        do {
            const uint64_t key = word & s.masks[__builtin_ctz(buckets)];
            const size_t cell = teddy_cell(s, key);
            found[count] = uint64_t{i} << 32 | cell;
            count += s.keys[cell] == key;
            buckets &= buckets - 1;
        } while (buckets);
    }
    candidates->total += candidates->n;
    candidates->n = 0;
    for (size_t i = 0; i < count; i++)
        if (!compare(s, p, n, ends, lines, candidates->list[found[i] >> 32], found[i] & UINT32_MAX, on_found, data))
            return false;
    return true;
}

struct Nibbles {
    __m256i low[kTestedMost], high;
};

__attribute__((target("avx2"), always_inline)) inline __m256i in_both_lanes(const uint8_t *table) noexcept {
    return _mm256_broadcastsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i *>(table)));
}

__attribute__((target("avx2"), always_inline)) inline Nibbles load_nibbles(const Teddy &s, int tested) noexcept {
    Nibbles nibbles;
    nibbles.high = in_both_lanes(s.high);
    for (int i = 0; i < tested; i++) nibbles.low[i] = in_both_lanes(s.low[i]);
    return nibbles;
}

// For each of the 32 positions from `at` on, the buckets that the bytes ending there pass.  A shuffle indexes by the
// low nibble of an ASCII byte and gives 0 for others, so if `wide` (non-ASCII) the bytes are masked first.
template <bool wide>
__attribute__((target("avx2"), always_inline)) inline __m256i open_buckets(const Nibbles &nibbles, const char *at,
                                                                           int tested) noexcept {
    const __m256i nibble = _mm256_set1_epi8(15);
    __m256i bytes = _mm256_loadu_si256(reinterpret_cast<const __m256i *>(at));
    const __m256i upper = _mm256_and_si256(_mm256_srli_epi16(bytes, 4), nibble);
    __m256i open = _mm256_shuffle_epi8(nibbles.high, upper);
    for (int i = 0; i < tested; i++) {
        bytes = _mm256_loadu_si256(reinterpret_cast<const __m256i *>(at - i));
        if (wide) bytes = _mm256_and_si256(bytes, nibble);
        open = _mm256_and_si256(open, _mm256_shuffle_epi8(nibbles.low[i], bytes));
    }
    return open;
}

// Not inlined, so that the tables of the ASCII path stay in registers.
__attribute__((target("avx2"), noinline)) inline void open_wide(const Teddy &s, const char *bytes,
                                                                __m256i open[2]) noexcept {
    const Nibbles nibbles = load_nibbles(s, kTestedMost);
    open[0] = open_buckets<true>(nibbles, bytes, int(s.tested));
    open[1] = open_buckets<true>(nibbles, bytes + 32, int(s.tested));
}

// Appends the candidates among 64 positions.  `dense`: adds the first two without branches, as their number is
// unpredictable.
template <bool dense>
__attribute__((target("avx2,bmi"), always_inline)) inline void note_candidates(uint64_t candidate, size_t at,
                                                                               size_t line, const __m256i open[2],
                                                                               Candidates *candidates) noexcept {
    if (!dense && !candidate) return;
    alignas(32) uint8_t buckets[64];
    _mm256_store_si256(reinterpret_cast<__m256i *>(buckets), open[0]);
    _mm256_store_si256(reinterpret_cast<__m256i *>(buckets + 32), open[1]);
    const uint64_t first = uint64_t{line} << 40 | uint64_t{at} << 8;
    for (int i = 0; dense && i < 2; i++, candidate &= candidate - 1) {
        const uint64_t place = __builtin_ctzll(candidate | UINT64_C(1) << 63);
        candidates->list[candidates->n] = first + (place << 8) + buckets[place];
        candidates->n += candidate != 0;
    }
    for (; candidate; candidate &= candidate - 1) {
        const uint64_t place = __builtin_ctzll(candidate);
        candidates->list[candidates->n++] = first + (place << 8) + buckets[place];
    }
}

// Copies the 64 bytes from p[at] on and the eight before them, with zeros for those outside p[0..n).
inline const char *at_edge(const char *p, size_t at, size_t n, char *room) noexcept {
    const size_t before = at < 8 ? 0 : 8;
    const size_t rest = n - at < 64 ? n - at : 64;
    std::memset(room, 0, 8 + 64);
    std::memcpy(room + 8 - before, p + at - before, before + rest);
    return room + 8;
}

// Finds line ends as index_lines() does, and calls `on_found` with the number and the line of each literal in p[0..n),
// in the order of lines; a literal may be reported twice.  Returns the number of line ends.  `confirmed` gets the
// number of candidates, SIZE_MAX if `on_found` stopped the search.  n must be below 2³², the number of lines below 2²⁴.
template <int tested, bool dense>
__attribute__((target("avx2,bmi"))) inline size_t teddy_some(const Teddy &s, const char *p, size_t n, uint32_t *ends,
                                                             bool *ascii, OnFound on_found, void *data,
                                                             size_t *confirmed) noexcept {
    const Nibbles nibbles = load_nibbles(s, tested);
    const __m256i none = _mm256_setzero_si256(), newline = _mm256_set1_epi8('\n');
    char edge[8 + 64];
    Candidates candidates;
    candidates.n = candidates.total = 0;
    size_t lines = 0;
    bool more = true;
    int wide = 0, any_wide = 0;
    for (size_t at = 0; at < n; at += 64) {
        const char *bytes = at == 0 || n - at < 64 ? at_edge(p, at, n, edge) : p + at;
        const __m256i near = _mm256_loadu_si256(reinterpret_cast<const __m256i *>(bytes));
        const __m256i far = _mm256_loadu_si256(reinterpret_cast<const __m256i *>(bytes + 32));
        const uint32_t first_line = _mm256_movemask_epi8(_mm256_cmpeq_epi8(near, newline));
        const uint32_t second_line = _mm256_movemask_epi8(_mm256_cmpeq_epi8(far, newline));
        const size_t line = lines;
        lines = note_newlines(uint64_t{second_line} << 32 | first_line, at, ends, lines);
        const int before = wide;  // because bytes of the previous 64 are tested too
        wide = _mm256_movemask_epi8(_mm256_or_si256(near, far));
        __m256i open[2];
        if (__builtin_expect((before | wide) == 0, 1)) {
            open[0] = open_buckets<false>(nibbles, bytes, tested);
            open[1] = open_buckets<false>(nibbles, bytes + 32, tested);
        } else {
            any_wide = 1;
            open_wide(s, bytes, open);
        }
        const uint32_t near_candidates = ~uint32_t(_mm256_movemask_epi8(_mm256_cmpeq_epi8(open[0], none)));
        const uint32_t far_candidates = ~uint32_t(_mm256_movemask_epi8(_mm256_cmpeq_epi8(open[1], none)));
        uint64_t candidate = uint64_t{far_candidates} << 32 | near_candidates;
        if (n - at < 64) candidate &= (UINT64_C(1) << (n - at)) - 1;
        note_candidates<dense>(candidate, at, line, open, &candidates);
        if (candidates.n < kCandidates) continue;
        more = more && confirm(s, p, n, ends, lines, &candidates, on_found, data);
        candidates.n = 0;
    }
    more = more && confirm(s, p, n, ends, lines, &candidates, on_found, data);
    *ascii = !any_wide;
    *confirmed = more ? candidates.total : SIZE_MAX;
    return lines;
}

// `confirmed`: on entry the result of the previous call, which selects the code for few or many candidates.
inline size_t teddy_lines(const Teddy &s, const char *p, size_t n, uint32_t *ends, bool *ascii, OnFound on_found,
                          void *data, size_t *confirmed) noexcept {
    const bool dense = *confirmed > n / kSparse;
    const auto some = s.tested == 6 ? dense ? teddy_some<6, true> : teddy_some<6, false>
                      : dense       ? teddy_some<7, true>
                                    : teddy_some<7, false>;
    return some(s, p, n, ends, ascii, on_found, data, confirmed);
}

#else

inline bool teddy_works() noexcept { return false; }

inline size_t teddy_lines(const Teddy &, const char *, size_t, uint32_t *, bool *, OnFound, void *, size_t *) noexcept {
    return 0;
}

#endif

}  // namespace nm
