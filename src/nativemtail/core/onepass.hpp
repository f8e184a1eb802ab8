// The one-pass matcher: matches ASCII texts against the operations that compiler/regex/onepass/ makes of a pattern.
#pragma once
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "abi.hpp"
#include "bytes.hpp"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace nm {

// Of a OnePassOp (compiler/abi.py):
//   slot      offset slot set to the position after the operation's own part; kNoSlot: none
//   then      offset slot set to `behind` characters before the end of the literal that follows; kNoSlot: none
//   n         length of the literal that follows the operation, at most 16; for kLast and kFirst, which search for
//             that literal: how many of its characters are consumed
//   back      characters at the end of a run that are left to what follows
//   target    next operation of a jump or choice; for kLast and kFirst: length of the literal that they search for
//   table, literal    offsets in the pool

struct OnePass {
    const OnePassOp *ops;  // nullptr: not a one-pass pattern
    const uint8_t *pool;
    uint32_t
        prefix_length;  // of the literal (at the pool's start) that begins a match; 0: matches at the text's start only
    uint32_t known;     // characters of it after which the operations begin
    uint32_t sure;      // a failure at or before this operation proves that no match begins here
    bool optional;      // some groups may take no part in a match
};

// How often a pattern was tried, and how often that was undecided.
struct OnePassTrial {
    uint64_t tried;
    uint64_t undecided;
};

constexpr size_t kUnset = SIZE_MAX;
constexpr uint64_t kTrial = 64;  // texts after which a pattern that is mostly undecided is no longer tried

#if defined(__x86_64__)

constexpr int kChoices = 8;  // limit of open choices
constexpr int kStarts = 16;  // starting positions to try before giving up as undecided

struct Subject {
    const char *p;
    const char *end;
    const char *wide;  // 32 bytes may be read from any position below this one
};

#define NM_AVX2 __attribute__((target("avx2,bmi"))) inline
#define NM_ALWAYS __attribute__((target("avx2,bmi"), always_inline)) inline

// The bit of a high nibble in the rows of a nibble table.
alignas(32) constexpr uint8_t kColumns[32] = {1, 2, 4, 8, 16, 32, 64, 128, 0, 0, 0, 0, 0, 0, 0, 0,
                                              1, 2, 4, 8, 16, 32, 64, 128, 0, 0, 0, 0, 0, 0, 0, 0};

// Whether the byte is in the set of a nibble table.
inline bool has_byte(const uint8_t *table, uint8_t c) noexcept { return c < 0x80 && table[c & 15] >> (c >> 4) & 1; }

inline bool is_word(char c) noexcept {
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_';
}

// The first position from `at` to `end` whose byte is not in the set, or `end`.  For an ASCII byte a shuffle indexes
// by its low nibble without a mask; bytes after the text need not be ASCII.
NM_ALWAYS const char *run_end(const uint8_t *nibbles, const char *at, const char *end, const char *wide) noexcept {
    const __m256i table = _mm256_broadcastsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i *>(nibbles)));
    const __m256i bits = _mm256_load_si256(reinterpret_cast<const __m256i *>(kColumns));
    const __m256i low = _mm256_set1_epi8(0x0F);
    for (; at <= wide; at += 32) {
        const __m256i bytes = _mm256_loadu_si256(reinterpret_cast<const __m256i *>(at));
        const __m256i row = _mm256_shuffle_epi8(table, bytes);
        const __m256i column = _mm256_shuffle_epi8(bits, _mm256_and_si256(_mm256_srli_epi16(bytes, 4), low));
        const __m256i missing = _mm256_cmpeq_epi8(_mm256_and_si256(row, column), _mm256_setzero_si256());
        const uint32_t mask = static_cast<uint32_t>(_mm256_movemask_epi8(missing));
        if (mask) {
            at += __builtin_ctz(mask);
            return at < end ? at : end;
        }
        if (end - at <= 32) return end;
    }
    while (at < end && has_byte(nibbles, static_cast<uint8_t>(*at))) at++;
    return at;
}

// Whether each of `n` bytes, at most 16, is in one of the two ranges for its position.
NM_ALWAYS bool fits_fixed(const uint8_t *lanes, const char *at, size_t n, const char *wide) noexcept {
    if (at <= wide) {
        const __m128i *row = reinterpret_cast<const __m128i *>(lanes);
        const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i *>(at));
        const __m128i one = _mm_sub_epi8(bytes, _mm_loadu_si128(row));
        const __m128i other = _mm_sub_epi8(bytes, _mm_loadu_si128(row + 2));
        const __m128i good = _mm_or_si128(_mm_cmpeq_epi8(_mm_min_epu8(one, _mm_loadu_si128(row + 1)), one),
                                          _mm_cmpeq_epi8(_mm_min_epu8(other, _mm_loadu_si128(row + 3)), other));
        return _mm_movemask_epi8(good) == 0xFFFF;
    }
    for (size_t i = 0; i < n; i++) {
        const uint8_t c = static_cast<uint8_t>(at[i]);
        if (uint8_t(c - lanes[i]) > lanes[16 + i] && uint8_t(c - lanes[32 + i]) > lanes[48 + i]) return false;
    }
    return true;
}

// Whether the text here is a literal of n bytes, at most 16.  The pool has it padded to 16, followed by its mask.
NM_ALWAYS bool fits_word(const uint8_t *word, const char *at, size_t n, const char *wide) noexcept {
    return at <= wide ? starts_with_word(word, at) : std::memcmp(at, word, n) == 0;
}

// The first position from `at` to `last` of the literal of n bytes, at most 16 (`word` as for fits_word()), that is
// wholly within the text; null: none.
NM_AVX2 const char *literal_first(const uint8_t *word, size_t n, const Subject &text, const char *at,
                                  const char *last) noexcept {
    if (size_t(text.end - at) < n) return nullptr;
    if (last > text.end - n) last = text.end - n;
    const __m256i head = _mm256_set1_epi8(char(word[0]));
    const __m256i tail = _mm256_set1_epi8(char(word[n - 1]));
    for (; at <= last && text.wide && text.wide - at >= ptrdiff_t(n) - 1; at += 32) {
        const __m256i first = _mm256_loadu_si256(reinterpret_cast<const __m256i *>(at));
        const __m256i second = _mm256_loadu_si256(reinterpret_cast<const __m256i *>(at + n - 1));
        const __m256i both = _mm256_and_si256(_mm256_cmpeq_epi8(first, head), _mm256_cmpeq_epi8(second, tail));
        for (uint32_t mask = static_cast<uint32_t>(_mm256_movemask_epi8(both)); mask; mask &= mask - 1) {
            const char *here = at + __builtin_ctz(mask);
            if (here > last) return nullptr;
            if (fits_word(word, here, n, text.wide)) return here;
        }
    }
    for (; at <= last; at++)
        if (fits_word(word, at, n, text.wide)) return at;
    return nullptr;
}

// The last such position.
NM_AVX2 const char *literal_last(const uint8_t *word, size_t n, const Subject &text, const char *at,
                                 const char *last) noexcept {
    if (size_t(text.end - at) < n) return nullptr;
    if (last > text.end - n) last = text.end - n;
    if (last < at) return nullptr;
    const __m256i head = _mm256_set1_epi8(char(word[0]));
    const __m256i tail = _mm256_set1_epi8(char(word[n - 1]));
    const char *end = last + 1;  // positions from here on have been checked
    for (; end - at >= 32; end -= 32) {
        const char *p = end - 32;
        const __m256i first = _mm256_loadu_si256(reinterpret_cast<const __m256i *>(p));
        const __m256i second = _mm256_loadu_si256(reinterpret_cast<const __m256i *>(p + n - 1));
        const __m256i both = _mm256_and_si256(_mm256_cmpeq_epi8(first, head), _mm256_cmpeq_epi8(second, tail));
        uint32_t mask = static_cast<uint32_t>(_mm256_movemask_epi8(both));
        while (mask) {
            const int bit = 31 - __builtin_clz(mask);
            if (fits_word(word, p + bit, n, text.wide)) return p + bit;
            mask ^= uint32_t{1} << bit;
        }
    }
    while (end > at)
        if (fits_word(word, --end, n, text.wide)) return end;
    return nullptr;
}

// Run the operations for a match from `start`: 1 matched, 0 not, -1 undecided.  `pairs` 0: nothing is written to `ov`.
NM_ALWAYS int onepass_from(const OnePass &pattern, const Subject &text, const char *start, size_t *ov,
                           int pairs) noexcept {
    const uint8_t *const pool = pattern.pool;
    const char *const base = text.p;
    const char *const end = text.end;
    const char *const wide = text.wide;
    const OnePassOp *op = pattern.ops;
    const OnePassOp *choice[kChoices];
    const char *kept[kChoices];
    int open = 0;
    const char *at = start + pattern.known;
    const char *to;
    if (pattern.optional)
        for (int i = 0; i < 2 * pairs; i++) ov[i] = kUnset;
    for (;; op++) {
        switch (op->code) {
        case kSpan:  // a run of any length that keeps all that it matched
            to = run_end(pool + op->table, at, end, wide);
            if (size_t(to - at) < op->least) goto fail;
            at = to;
            break;
        case kRun:
            to = op->most < size_t(end - at) ? at + op->most : end;
            to = run_end(pool + op->table, at, to, wide);
            if (size_t(to - at) < size_t{op->least} + op->back) goto fail;
            at = to - op->back;
            break;
        case kFixed:
            if (size_t(end - at) < op->most || !fits_fixed(pool + op->table, at, op->most, wide)) goto fail;
            at += op->most;
            break;
        case kLast:
        case kFirst: {
            to = op->most < size_t(end - at) ? at + op->most : end;
            to = run_end(pool + op->table, at, to, wide);
            if (size_t(to - at) < op->least) goto fail;
            at += op->least;
            at = op->code == kLast ? literal_last(pool + op->literal, op->target, text, at, to)
                                   : literal_first(pool + op->literal, op->target, text, at, to);
            if (!at) goto fail;
            if (op->slot != kNoSlot) ov[op->slot] = size_t(at - base);
            at += op->n;
            if (op->then != kNoSlot) ov[op->then] = size_t(at - base) - op->behind;
            continue;
        }
        case kEscaped:
            for (;;) {
                at = run_end(pool + op->table, at, end, wide);
                if (end - at < 2 || static_cast<uint8_t>(*at) != op->most ||
                    !has_byte(pool + op->table + 16, static_cast<uint8_t>(at[1])))
                    break;
                at += 2;
            }
            break;
        case kTry:
            choice[open] = op;
            kept[open] = at;
            open++;
            continue;
        case kJump:
            open--;
            op = pattern.ops + op->target - 1;
            continue;
        case kEnd:
            if (at != end) goto fail;
            continue;
        case kWord:
            if ((at > base && is_word(at[-1])) == (at < end && is_word(*at))) goto fail;
            continue;
        case kDone:
            if (pairs) {
                ov[0] = size_t(start - base);
                ov[1] = size_t(at - base);
            }
            return 1;
        default:  // kSave
            break;
        }
        if (op->slot != kNoSlot) ov[op->slot] = size_t(at - base);
        if (op->n) {
            if (size_t(end - at) < op->n || !fits_word(pool + op->literal, at, op->n, wide)) goto fail;
            at += op->n;
        }
        if (op->then != kNoSlot) ov[op->then] = size_t(at - base) - op->behind;
        continue;
    fail:
        if (size_t(op - pattern.ops) > pattern.sure) return -1;
        if (!open) return 0;
        open--;
        at = kept[open];
        op = choice[open];
        for (uint32_t slot = op->least; slot < op->most; slot++) ov[slot] = kUnset;
        op = pattern.ops + op->target - 1;
    }
}

NM_AVX2 int onepass_search(const OnePass &pattern, const Subject &text, size_t *ov, int pairs) noexcept {
    const char *at = text.p;
    for (int starts = 0; starts < kStarts; starts++) {
        if (pattern.prefix_length) at = literal_first(pattern.pool, pattern.prefix_length, text, at, text.end);
        if (!at) return 0;
        const int rc = onepass_from(pattern, text, at, ov, pairs);
        if (rc || !pattern.prefix_length) return rc;
        at++;
    }
    return -1;
}

#undef NM_AVX2
#undef NM_ALWAYS
#endif

inline bool onepass_works() noexcept {
#if defined(__x86_64__)
    static const bool has_avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi");
    return has_avx2;
#else
    return false;
#endif
}

// Match an ASCII text of n bytes, with `room` ≥ n readable bytes; needs onepass_works().  1 matched, 0 no match, -1
// undecided.  `ov` gets `pairs` pairs of offsets.
inline int onepass_match(const OnePass &pattern, const char *p, size_t n, size_t room, size_t *ov, int pairs) noexcept {
#if defined(__x86_64__)
    const Subject text{p, p + n, room >= 32 ? p + room - 32 : nullptr};
    return onepass_search(pattern, text, ov, pairs);
#else
    (void)pattern, (void)p, (void)n, (void)room, (void)ov, (void)pairs;
    return -1;
#endif
}

// Counts a result of onepass_match(); false: it is undecided so often that trying it does not pay.
inline bool onepass_pays(OnePassTrial *trial, int rc) noexcept {
    trial->tried++;
    return rc >= 0 || ++trial->undecided < kTrial || trial->undecided <= trial->tried / 4;
}

}  // namespace nm
