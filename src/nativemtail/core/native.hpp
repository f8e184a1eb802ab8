// What Cython cannot express: vector code, <charconv>, the processor's clock, CPython's character tables.
#pragma once

#include <Python.h>

#include <charconv>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <system_error>

#if defined(__SSE2__)
#include <immintrin.h>
#else
#include <chrono>
#endif

#ifndef __cpp_lib_to_chars
#error "a C++17 library with std::to_chars for double is needed (GCC 11 or newer)"
#endif

namespace nm {

// Length of the longest prefix of p[0..n) that has no byte above 0x7F, rounded down to the width of a vector.
static inline size_t ascii_blocks(const char *p, size_t n) {
    size_t i = 0;
#if defined(__AVX2__)
    for (; i + 32 <= n; i += 32)
        if (_mm256_movemask_epi8(_mm256_loadu_si256(reinterpret_cast<const __m256i *>(p + i)))) return i;
#endif
#if defined(__SSE2__)
    for (; i + 64 <= n; i += 64) {
        const __m128i *v = reinterpret_cast<const __m128i *>(p + i);
        __m128i low = _mm_or_si128(_mm_loadu_si128(v), _mm_loadu_si128(v + 1));
        __m128i high = _mm_or_si128(_mm_loadu_si128(v + 2), _mm_loadu_si128(v + 3));
        if (_mm_movemask_epi8(_mm_or_si128(low, high))) break;
    }
    for (; i + 16 <= n; i += 16)
        if (_mm_movemask_epi8(_mm_loadu_si128(reinterpret_cast<const __m128i *>(p + i)))) return i;
#endif
    for (; i + 8 <= n; i += 8) {
        uint64_t word;
        std::memcpy(&word, p + i, 8);
        if (word & UINT64_C(0x8080808080808080)) return i;
    }
    return i;
}

// Length of the longest prefix of p[0..n) that has no byte above 0x7F.
static inline size_t ascii_prefix(const char *p, size_t n) {
    size_t i = ascii_blocks(p, n);
    while (i < n && static_cast<signed char>(p[i]) >= 0) i++;
    return i;
}

// Shortest digits that round-trip: v (finite, above zero) is d.ddd * 10**exponent; returns how many digits (at most
// 17).
static inline int shortest_digits(double v, char *digits, int *exponent) {
    char text[32];
    std::to_chars_result end = std::to_chars(text, text + sizeof text, v, std::chars_format::scientific);
    const char *e = end.ptr;
    while (*--e != 'e') {}
    int ten = 0;
    for (const char *c = e + 2; c < end.ptr; c++) ten = ten * 10 + (*c - '0');
    *exponent = e[1] == '-' ? -ten : ten;
    int count = 0;
    for (const char *c = text; c < e; c++)
        if (*c != '.') digits[count++] = *c;
    return count;
}

static inline size_t int_text(int64_t v, char *out) {
    return static_cast<size_t>(std::to_chars(out, out + 24, v).ptr - out);
}

// 0: all of p[0..n) was read, 1: not a number, 2: out of range.  The text has no sign and, if `hex`, no 0x.
static inline int read_double(const char *p, size_t n, bool hex, double *out) {
    std::from_chars_result end =
        std::from_chars(p, p + n, *out, hex ? std::chars_format::hex : std::chars_format::general);
    if (end.ec == std::errc::result_out_of_range) return 2;
    return end.ec == std::errc() && end.ptr == p + n ? 0 : 1;
}

// Fast path for digits with at most one point, if they are 2⁵³ or less without the point: then both operands of the
// division are exact, so it rounds correctly.  False: not such a text.
static inline bool read_plain_double(const char *p, size_t n, double *out) {
    static const double kTens[] = {1e0, 1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7, 1e8,
                                   1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16};
    if (n - 1 >= 17) return false;
    uint64_t digits = 0;
    size_t point = n;
    for (size_t i = 0; i < n; i++) {
        const unsigned digit = static_cast<unsigned char>(p[i]) - unsigned{'0'};
        if (digit <= 9) {
            digits = 10 * digits + digit;
        } else if (p[i] == '.' && point == n && n > 1) {
            point = i;
        } else {
            return false;
        }
    }
    if (digits > UINT64_C(1) << 53) return false;
    *out = point == n ? static_cast<double>(digits) : static_cast<double>(digits) / kTens[n - 1 - point];
    return true;
}

// A power as Go computes it, by squaring, whose last digits are not those of the C library; `_power` in
// compiler/fold.py does the same.
static inline double float_power(double x, double y) {
    const double size = std::fabs(y);
    if (!std::isfinite(x) || !std::isfinite(y) || x == 0 || x == 1 || size >= 9223372036854775808.0)
        return std::pow(x, y);
    if (size == 0.5) return y > 0 ? std::sqrt(x) : 1 / std::sqrt(x);
    double whole;
    double part = std::modf(size, &whole);
    if (part != 0 && x < 0) return std::numeric_limits<double>::quiet_NaN();
    if (part > 0.5) {
        part -= 1;
        whole += 1;
    }
    double product = part == 0 ? 1 : std::exp(part * std::log(x));
    int scale = 0, exponent;
    double base = std::frexp(x, &exponent);
    for (uint64_t left = static_cast<uint64_t>(whole); left != 0; left >>= 1) {
        if (exponent < -4096 || exponent > 4096) {  // out of range, whatever follows
            scale += exponent;
            break;
        }
        if (left & 1) {
            product *= base;
            scale += exponent;
        }
        base *= base;
        exponent *= 2;
        if (base < 0.5) {
            base += base;
            exponent--;
        }
    }
    return y < 0 ? std::ldexp(1 / product, -scale) : std::ldexp(product, scale);
}

// A very cheap clock, with some 10⁹ ticks in a second.
static inline uint64_t cpu_ticks() {
#if defined(__SSE2__)
    return __rdtsc();
#else
    return 2 * static_cast<uint64_t>(std::chrono::steady_clock::now().time_since_epoch().count());
#endif
}

// Simple (one-to-one) lower and upper case, and whether a character is printable, from CPython's tables, which need no
// GIL.
static inline uint32_t lower_rune(uint32_t rune) { return Py_UNICODE_TOLOWER(rune); }

// Where the upper case of a character has several characters, the tables have the first of them.  The simple upper case
// of these is the character itself, but that of the Greek letters with an iota below is another such letter.
static inline uint32_t upper_rune(uint32_t rune) {
    static const uint32_t alone[] = {0xDF, 0x149, 0x1F0, 0x390, 0x3B0, 0x587, 0x1F50, 0x1F52, 0x1F54, 0x1F56};
    if (rune < 0x80) return rune - 'a' < 26 ? rune ^ 0x20 : rune;
    for (uint32_t same : alone)
        if (rune == same) return rune;
    if ((rune >= 0x1E96 && rune <= 0x1E9A) || (rune >= 0xFB00 && rune <= 0xFB17)) return rune;
    if (rune >= 0x1F80 && rune <= 0x1FAF) return rune | 8;
    if (rune >= 0x1FB2 && rune <= 0x1FFC) {
        uint32_t low = rune & 0xF;
        if (low == 3 && rune != 0x1FD3 && rune != 0x1FE3) return rune + 9;
        if (low == 2 || low == 3 || low == 4 || low == 6 || low == 7 || low == 12) return rune;
    }
    return Py_UNICODE_TOUPPER(rune);
}
static inline bool is_printable(uint32_t rune) { return Py_UNICODE_ISPRINTABLE(rune); }

}  // namespace nm
