// Field patterns: reads JSON, logfmt and CSV (beyond README §3), without allocating.
//
// A table says which fields are wanted, as a tree of names and indexes.  A reader checks the whole text, goes down the
// tree as far as the text has what it names, and notes where the wanted values are.  Nothing recurses.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>

#include "abi.hpp"

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

namespace nm {

enum FieldKind : uint32_t {
    kAbsent = 0,
    kText = 1,         // as it stands
    kEscapedText = 2,  // with the escapes of JSON
    kNumber = 3,       // of JSON
    kLiteral = 4,      // true, false
    kContainer = 5,    // object, array
    kBare = 6,         // a bare word of logfmt: its text is "true"
    kDoubled = 7,      // of CSV: each quote stands twice
    kLogfmtText = 8,   // of logfmt: escapes of JSON, other backslashes stand for themselves
};

struct FieldSpan {  // where a value is in the text
    uint32_t start;
    uint32_t end;
    uint32_t kind;
};

struct FieldRows {  // the elements of the array that `every` goes through: of each its index, then its spans
    FieldSpan *p;
    size_t n;  // in spans
    size_t room;
    size_t limit;    // most spans
    uint32_t count;  // elements seen
};

struct FieldTable {
    const FieldNode *nodes;  // the first is the root
    const FieldEdge *edges;  // by node: first its names, then its indexes
    const uint32_t *leaves;  // numbers of spans
    const uint8_t *pool;     // texts of the names
    const uint8_t *needed;   // of each span: whether it must be there
    uint32_t common;         // spans that do not belong to elements; those of elements come after them
    uint32_t each;           // spans of an element
    uint32_t separator;      // of CSV
};

constexpr size_t kMaxDepth = 1000;

// --- strings ---------------------------------------------------------------------------------------------------

// At the first byte that a plain JSON string cannot have: a quote, a backslash or a control character; or the end.
static inline const uint8_t *skip_plain(const uint8_t *at, const uint8_t *end) {
#if defined(__SSE2__)
    const __m128i quote = _mm_set1_epi8('"'), slash = _mm_set1_epi8('\\'), control = _mm_set1_epi8(0x1f);
    while (end - at >= 16) {
        __m128i c = _mm_loadu_si128(reinterpret_cast<const __m128i *>(at));
        __m128i found = _mm_or_si128(_mm_or_si128(_mm_cmpeq_epi8(c, quote), _mm_cmpeq_epi8(c, slash)),
                                     _mm_cmpeq_epi8(_mm_min_epu8(c, control), c));
        int mask = _mm_movemask_epi8(found);
        if (mask) return at + __builtin_ctz(static_cast<unsigned>(mask));
        at += 16;
    }
#endif
    while (at < end && *at != '"' && *at != '\\' && *at >= 0x20) ++at;
    return at;
}

static inline int hex_value(uint8_t c) {
    if (c >= '0' && c <= '9') return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

// The four hexadecimal digits at `at`; -1 if they are not there.
static inline int32_t hex4(const uint8_t *at, const uint8_t *end) {
    if (end - at < 4) return -1;
    int32_t value = 0;
    for (int i = 0; i < 4; ++i) {
        int digit = hex_value(at[i]);
        if (digit < 0) return -1;
        value = value << 4 | digit;
    }
    return value;
}

static inline size_t put_rune(uint32_t rune, char *out) {
    if (rune < 0x80) {
        out[0] = static_cast<char>(rune);
        return 1;
    }
    if (rune < 0x800) {
        out[0] = static_cast<char>(0xC0 | rune >> 6);
        out[1] = static_cast<char>(0x80 | (rune & 0x3F));
        return 2;
    }
    if (rune < 0x10000) {
        out[0] = static_cast<char>(0xE0 | rune >> 12);
        out[1] = static_cast<char>(0x80 | (rune >> 6 & 0x3F));
        out[2] = static_cast<char>(0x80 | (rune & 0x3F));
        return 3;
    }
    out[0] = static_cast<char>(0xF0 | rune >> 18);
    out[1] = static_cast<char>(0x80 | (rune >> 12 & 0x3F));
    out[2] = static_cast<char>(0x80 | (rune >> 6 & 0x3F));
    out[3] = static_cast<char>(0x80 | (rune & 0x3F));
    return 4;
}

// Decodes the escape whose backslash is at `at`: writes at most 4 bytes and returns how many; `at` is moved past it.
// 0 if it is none.
static inline size_t unescape(const uint8_t *&at, const uint8_t *end, char *out) {
    if (end - at < 2) return 0;
    char plain;
    switch (at[1]) {
    case '"':
    case '\\':
    case '/':
        plain = static_cast<char>(at[1]);
        break;
    case 'b':
        plain = '\b';
        break;
    case 'f':
        plain = '\f';
        break;
    case 'n':
        plain = '\n';
        break;
    case 'r':
        plain = '\r';
        break;
    case 't':
        plain = '\t';
        break;
    case 'u': {
        int32_t unit = hex4(at + 2, end);
        if (unit < 0) return 0;
        at += 6;
        uint32_t rune = static_cast<uint32_t>(unit);
        if (rune >= 0xD800 && rune < 0xDC00 && end - at >= 6 && at[0] == '\\' && at[1] == 'u') {
            int32_t low = hex4(at + 2, end);
            if (low >= 0xDC00 && low < 0xE000) {
                at += 6;
                return put_rune(0x10000 + ((rune - 0xD800) << 10) + (static_cast<uint32_t>(low) - 0xDC00), out);
            }
        }
        return put_rune(rune >= 0xD800 && rune < 0xE000 ? 0xFFFD : rune, out);
    }
    default:
        return 0;
    }
    out[0] = plain;
    at += 2;
    return 1;
}

// At the closing quote of the JSON string whose first character is at `at`; null if it is malformed.
static inline const uint8_t *end_of_string(const uint8_t *at, const uint8_t *end, bool *escaped) {
    *escaped = false;
    for (;;) {
        at = skip_plain(at, end);
        if (at == end || *at < 0x20) return nullptr;
        if (*at == '"') return at;
        *escaped = true;
        if (end - at < 2) return nullptr;
        switch (at[1]) {
        case '"':
        case '\\':
        case '/':
        case 'b':
        case 'f':
        case 'n':
        case 'r':
        case 't':
            at += 2;
            break;
        case 'u':
            if (hex4(at + 2, end) < 0) return nullptr;
            at += 6;
            break;
        default:
            return nullptr;
        }
    }
}

// Whether the JSON string p[0:n], with escapes, is `name`.
static inline bool is_escaped_name(const uint8_t *p, size_t n, const uint8_t *name, size_t length) {
    const uint8_t *end = p + n;
    char bytes[4];
    while (p < end) {
        size_t width = 1;
        if (*p == '\\')
            width = unescape(p, end, bytes);
        else
            bytes[0] = static_cast<char>(*p++);
        if (width > length || memcmp(bytes, name, width) != 0) return false;
        name += width;
        length -= width;
    }
    return length == 0;
}

// Writes the text of a span, which is at most as long as the span; returns its length.
static inline size_t field_text(uint32_t kind, const char *p, size_t n, char *out) {
    const uint8_t *at = reinterpret_cast<const uint8_t *>(p);
    const uint8_t *end = at + n;
    char *to = out;
    while (at < end) {
        if (*at == '\\' && kind != kDoubled) {
            size_t width = unescape(at, end, to);
            to += width;
            if (width) continue;
        } else if (*at == '"' && kind == kDoubled) {
            ++at;
        }
        *to++ = static_cast<char>(*at++);
    }
    return static_cast<size_t>(to - out);
}

// --- numbers ---------------------------------------------------------------------------------------------------

static inline bool is_digit(uint8_t c) { return static_cast<uint8_t>(c - '0') < 10; }

// Behind the JSON number at `at`; null if there is none.
static inline const uint8_t *end_of_number(const uint8_t *at, const uint8_t *end) {
    if (*at == '-') ++at;
    if (at == end || !is_digit(*at)) return nullptr;
    if (*at == '0')
        ++at;
    else
        while (at < end && is_digit(*at)) ++at;
    if (at < end && *at == '.') {
        ++at;
        if (at == end || !is_digit(*at)) return nullptr;
        while (at < end && is_digit(*at)) ++at;
    }
    if (at < end && (*at | 0x20) == 'e') {
        ++at;
        if (at < end && (*at == '+' || *at == '-')) ++at;
        if (at == end || !is_digit(*at)) return nullptr;
        while (at < end && is_digit(*at)) ++at;
    }
    return at;
}

// The value of a well-formed JSON number that is whole and within 64 bits; false if it is not.
static inline bool number_to_int(const char *p, size_t n, int64_t *value) {
    const uint8_t *at = reinterpret_cast<const uint8_t *>(p);
    const uint8_t *end = at + n;
    bool negative = *at == '-';
    at += negative;
    const uint8_t *digits = at;
    int64_t scale = 0;
    const uint8_t *point = nullptr;
    while (at < end && (is_digit(*at) || *at == '.')) {
        if (*at == '.') point = at;
        ++at;
    }
    const uint8_t *digits_end = at;
    if (at < end) {  // the exponent
        ++at;
        bool below = *at == '-';
        if (*at == '-' || *at == '+') ++at;
        while (at < end) {
            if (scale < 1000000000000LL) scale = scale * 10 + (*at - '0');
            ++at;
        }
        if (below) scale = -scale;
    }
    if (point) scale -= digits_end - point - 1;
    uint64_t magnitude = 0;
    int64_t zeros = 0;  // after the last other digit
    for (at = digits; at < digits_end; ++at) {
        if (*at == '.') continue;
        if (*at == '0') {
            ++zeros;
            continue;
        }
        for (int64_t i = magnitude ? zeros + 1 : 1; i > 0; --i)
            if (__builtin_mul_overflow(magnitude, uint64_t{10}, &magnitude)) return false;
        if (__builtin_add_overflow(magnitude, static_cast<uint64_t>(*at - '0'), &magnitude)) return false;
        zeros = 0;
    }
    if (magnitude == 0) {
        *value = 0;
        return true;
    }
    scale += zeros;
    if (scale < 0 || scale > 20) return false;
    while (scale-- > 0)
        if (__builtin_mul_overflow(magnitude, uint64_t{10}, &magnitude)) return false;
    if (magnitude > (uint64_t{1} << 63) - !negative) return false;
    *value = static_cast<int64_t>(negative ? 0 - magnitude : magnitude);
    return true;
}

// --- the tree of wanted fields ----------------------------------------------------------------------------------

// As memcmp() == 0, without a call for names of usual length.
static inline bool is_same(const uint8_t *a, const uint8_t *b, size_t n) {
    const auto same = [a, b](auto width, size_t at) {
        decltype(width) x, y;
        memcpy(&x, a + at, sizeof x);
        memcpy(&y, b + at, sizeof y);
        return x == y;
    };
    if (n > 16) return memcmp(a, b, n) == 0;
    if (n >= 8) return same(uint64_t{}, 0) && same(uint64_t{}, n - 8);
    if (n >= 4) return same(uint32_t{}, 0) && same(uint32_t{}, n - 4);
    if (n >= 2) return same(uint16_t{}, 0) && same(uint16_t{}, n - 2);
    return n == 0 || *a == *b;
}

static inline const FieldNode *by_name(const FieldTable &t, const FieldNode *node, const uint8_t *p, size_t n,
                                       bool escaped) {
    if (!escaped && !(node->lengths >> (n < 63 ? n : 63) & 1)) return nullptr;
    const FieldEdge *edge = t.edges + node->first;
    for (uint32_t i = 0; i < node->names; ++i, ++edge) {
        const uint8_t *name = t.pool + edge->text;
        if (escaped ? is_escaped_name(p, n, name, edge->key) : edge->key == n && is_same(name, p, n))
            return t.nodes + edge->child;
    }
    return nullptr;
}

static inline const FieldNode *by_index(const FieldTable &t, const FieldNode *node, uint32_t index) {
    const FieldEdge *edge = t.edges + node->first + node->names;
    for (uint32_t i = 0; i < node->indexes; ++i, ++edge)
        if (edge->key == index) return t.nodes + edge->child;
    return nullptr;
}

static inline void note_value(const FieldTable &t, const FieldNode *node, FieldSpan *spans, FieldRows *rows,
                              uint32_t start, uint32_t end, uint32_t kind) {
    for (uint32_t i = 0; i < node->leaves; ++i) {
        uint32_t number = t.leaves[node->leaf + i];
        FieldSpan *span = number < t.common ? spans + number : rows->p + rows->n - t.each + (number - t.common);
        span->start = start;
        span->end = end;
        span->kind = kind;
    }
}

// Of equal names the last one counts: what was found below the earlier one is forgotten.
static inline void forget(const FieldTable &t, const FieldNode *node, FieldSpan *spans, FieldRows *rows) {
    if (node->low < node->high) {
        FieldSpan *below =
            node->low < t.common ? spans + node->low : rows->p + rows->n - t.each + (node->low - t.common);
        for (uint32_t i = node->low; i < node->high; ++i, ++below) below->kind = kAbsent;
    }
    if (node->has_each) {
        rows->n = 0;
        rows->count = 0;
    }
}

// Begins the next element of the array that `every` goes through; false without memory.
static inline bool begin_row(const FieldTable &t, FieldRows *rows) {
    size_t wanted = rows->n + t.each + 1;
    if (wanted > rows->room) {
        size_t room = wanted * 2 < 256 ? 256 : wanted * 2;
        if (wanted > rows->limit) return false;
        FieldSpan *moved = static_cast<FieldSpan *>(realloc(rows->p, room * sizeof(FieldSpan)));
        if (!moved) return false;
        rows->p = moved;
        rows->room = room;
    }
    FieldSpan *row = rows->p + rows->n;
    memset(row, 0, (t.each + 1) * sizeof(FieldSpan));
    row->start = rows->count++;
    rows->n = wanted;
    return true;
}

static inline bool lacks_wanted(const FieldTable &t, const FieldSpan *spans, uint32_t first, uint32_t n) {
    for (uint32_t i = 0; i < n; ++i)
        if (t.needed[first + i] && spans[i].kind == kAbsent) return true;
    return false;
}

// An element that lacks a wanted field is skipped.
static inline void end_row(const FieldTable &t, FieldRows *rows) {
    if (lacks_wanted(t, rows->p + rows->n - t.each, t.common, t.each)) rows->n -= t.each + 1;
}

// --- JSON ------------------------------------------------------------------------------------------------------

static inline const uint8_t *skip_blanks(const uint8_t *at, const uint8_t *end) {
    while (at < end && *at <= ' ' && (*at == ' ' || *at == '\t' || *at == '\n' || *at == '\r')) ++at;
    return at;
}

// Behind the string, number or literal at `at`; null if there is none.
static inline const uint8_t *end_of_scalar(const uint8_t *at, const uint8_t *end, uint32_t *kind) {
    ptrdiff_t left = end - at;
    bool escaped;
    switch (*at) {
    case '"':
        at = end_of_string(at + 1, end, &escaped);
        *kind = escaped ? kEscapedText : kText;
        return at ? at + 1 : nullptr;
    case 't':
        *kind = kLiteral;
        return left >= 4 && memcmp(at, "true", 4) == 0 ? at + 4 : nullptr;
    case 'f':
        *kind = kLiteral;
        return left >= 5 && memcmp(at, "false", 5) == 0 ? at + 5 : nullptr;
    case 'n':
        *kind = kAbsent;
        return left >= 4 && memcmp(at, "null", 4) == 0 ? at + 4 : nullptr;
    default:
        *kind = kNumber;
        return *at == '-' || is_digit(*at) ? end_of_number(at, end) : nullptr;
    }
}

// At the value after the name that begins at `at`; null if it is malformed.  `node` becomes what is wanted of it.
static inline const uint8_t *read_name(const FieldTable &t, const uint8_t *at, const uint8_t *end,
                                       const FieldNode *&node, FieldSpan *spans, FieldRows *rows) {
    bool escaped;
    if (at == end || *at != '"') return nullptr;
    const uint8_t *start = at + 1;
    at = end_of_string(start, end, &escaped);
    if (!at) return nullptr;
    if (node) {
        node = node->names ? by_name(t, node, start, static_cast<size_t>(at - start), escaped) : nullptr;
        if (node) forget(t, node, spans, rows);
    }
    at = skip_blanks(at + 1, end);
    if (at == end || *at != ':') return nullptr;
    at = skip_blanks(at + 1, end);
    return at == end ? nullptr : at;
}

struct JsonLevel {          // an open object or array
    const FieldNode *node;  // what is wanted of it; null: nothing
    uint32_t start;
    uint32_t index;  // of the current element
    bool is_object;
};

// Reads one object: 1, 0 if the text is none, -1 without memory.
static inline int read_json(const FieldTable &t, const char *text, size_t n, FieldSpan *spans, FieldRows *rows) {
    const uint8_t *const base = reinterpret_cast<const uint8_t *>(text);
    const uint8_t *const end = base + n;
    const uint8_t *at = skip_blanks(base, end);
    if (at == end || *at != '{') return 0;
    const auto place = [base](const uint8_t *p) { return static_cast<uint32_t>(p - base); };
    JsonLevel levels[kMaxDepth + 1];  // the first is not used
    JsonLevel *level = levels;
    const FieldNode *node = t.nodes;
    const uint8_t *start;
    uint32_t kind;
    bool quoted;

value:
    if (*at == '{' || *at == '[') {
        if (level++ == levels + kMaxDepth) return 0;
        *level = {node, place(at), 0, *at == '{'};
        at = skip_blanks(at + 1, end);
        if (at == end) return 0;
        if (*at == (level->is_object ? '}' : ']')) goto close;
        goto entry;
    }
    start = at;
    at = end_of_scalar(at, end, &kind);
    if (!at) return 0;
    quoted = *start == '"';
    if (node) note_value(t, node, spans, rows, place(start + quoted), place(at - quoted), kind);

after_value:  // after a value of the open object or array
    if (!level->is_object && level->node && level->node->each) end_row(t, rows);
    at = skip_blanks(at, end);
    if (at == end) return 0;
    if (*at != ',') goto close;
    at = skip_blanks(at + 1, end);
    ++level->index;

entry:
    node = level->node;
    if (level->is_object) {
        at = read_name(t, at, end, node, spans, rows);
        if (!at) return 0;
    } else if (node && node->each) {
        if (!begin_row(t, rows)) return -1;
        node = t.nodes + node->each;
    } else if (node) {
        node = by_index(t, node, level->index);
    }
    if (at == end) return 0;
    goto value;

close:
    if (*at++ != (level->is_object ? '}' : ']')) return 0;
    if (level->node) note_value(t, level->node, spans, rows, level->start, place(at), kContainer);
    if (--level == levels) return skip_blanks(at, end) == end;
    goto after_value;
}

// --- logfmt ----------------------------------------------------------------------------------------------------

static inline bool is_blank_byte(uint8_t c) { return c == ' ' || static_cast<uint8_t>(c - 9) < 5; }

// At the first blank, or quote or `=` if `in_key`; or the end.
template <bool in_key> static inline const uint8_t *skip_word(const uint8_t *at, const uint8_t *end) {
#if defined(__SSE2__)
    const __m128i space = _mm_set1_epi8(' '), tab = _mm_set1_epi8(9), four = _mm_set1_epi8(4);
    while (end - at >= 16) {
        __m128i c = _mm_loadu_si128(reinterpret_cast<const __m128i *>(at));
        __m128i control = _mm_sub_epi8(c, tab);
        __m128i found = _mm_or_si128(_mm_cmpeq_epi8(c, space), _mm_cmpeq_epi8(_mm_min_epu8(control, four), control));
        if (in_key)
            found = _mm_or_si128(
                found, _mm_or_si128(_mm_cmpeq_epi8(c, _mm_set1_epi8('=')), _mm_cmpeq_epi8(c, _mm_set1_epi8('"'))));
        int mask = _mm_movemask_epi8(found);
        if (mask) return at + __builtin_ctz(static_cast<unsigned>(mask));
        at += 16;
    }
#endif
    while (at < end && !is_blank_byte(*at) && !(in_key && (*at == '=' || *at == '"'))) ++at;
    return at;
}

// Behind the quoted text whose quote is at `at`; the end of the text ends it as a quote does.
static inline const uint8_t *skip_quoted(const uint8_t *at, const uint8_t *end, const uint8_t **content_end,
                                         bool *escaped) {
    char bytes[4];
    ++at;
    *escaped = false;
    while ((at = skip_plain(at, end)) < end && *at != '"') {
        if (*at == '\\') {
            *escaped = true;
            if (!unescape(at, end, bytes)) ++at;
        } else {
            ++at;
        }
    }
    *content_end = at;
    return at < end ? at + 1 : at;
}

static inline void read_logfmt(const FieldTable &t, const char *text, size_t n, FieldSpan *spans, FieldRows *rows) {
    const uint8_t *const base = reinterpret_cast<const uint8_t *>(text);
    const uint8_t *const end = base + n;
    const uint8_t *at = base;
    const uint8_t *content_end;
    bool escaped;
    for (;;) {
        while (at < end && is_blank_byte(*at)) ++at;
        if (at == end) return;
        if (*at == '"') {
            at = skip_quoted(at, end, &content_end, &escaped);
            continue;
        }
        if (*at == '=') {
            at = skip_word<false>(at, end);
            continue;
        }
        const uint8_t *key = at;
        at = skip_word<true>(at, end);
        const FieldNode *node = by_name(t, t.nodes, key, static_cast<size_t>(at - key), false);
        const uint8_t *start = at;
        uint32_t kind = kBare;
        content_end = at;
        if (at < end && *at == '=') {
            start = ++at;
            if (at < end && *at == '"') {
                start = at + 1;
                at = skip_quoted(at, end, &content_end, &escaped);
                kind = escaped ? kLogfmtText : kText;
            } else {
                at = skip_word<false>(at, end);
                content_end = at;
                kind = kText;
            }
        }
        if (node)
            note_value(t, node, spans, rows, static_cast<uint32_t>(start - base),
                       static_cast<uint32_t>(content_end - base), kind);
    }
}

// --- CSV -------------------------------------------------------------------------------------------------------

// Reads one record: 1, or 0 if it is malformed.
static inline int read_csv(const FieldTable &t, const char *text, size_t n, FieldSpan *spans, FieldRows *rows) {
    const uint8_t *const base = reinterpret_cast<const uint8_t *>(text);
    const uint8_t *const end = base + n;
    const uint8_t *at = base;
    for (uint32_t column = 1;; ++column) {
        const uint8_t *start = at;
        uint32_t kind = kText;
        const uint8_t *content_end;
        if (at < end && *at == '"') {
            start = ++at;
            for (;;) {
                at = static_cast<const uint8_t *>(memchr(at, '"', static_cast<size_t>(end - at)));
                if (!at) return 0;
                if (end - at < 2 || at[1] != '"') break;
                kind = kDoubled;
                at += 2;
            }
            content_end = at++;
            if (at < end && *at != t.separator) return 0;
        } else {
            while (at < end && *at != t.separator) {
                if (*at == '\n') return 0;
                ++at;
            }
            content_end = at;
        }
        const FieldNode *node = by_index(t, t.nodes, column);
        if (node)
            note_value(t, node, spans, rows, static_cast<uint32_t>(start - base),
                       static_cast<uint32_t>(content_end - base), kind);
        if (at == end) return 1;
        ++at;
    }
}

// Makes the offsets in `ov` lead from `base` to each text, or be -1 for one that is undefined (p is null).  Rarely
// called, and kept out of the interpreter, whose code would get worse.
template <class Text>
[[gnu::noinline]] void place_texts(const Text *texts, int n, const char *base, size_t *ov) noexcept {
    for (int i = 0; i < n; i++) {
        ov[2 * i] = texts[i].p ? reinterpret_cast<size_t>(texts[i].p) - reinterpret_cast<size_t>(base) : SIZE_MAX;
        ov[2 * i + 1] = texts[i].p ? ov[2 * i] + texts[i].n : SIZE_MAX;
    }
}

}  // namespace nm
