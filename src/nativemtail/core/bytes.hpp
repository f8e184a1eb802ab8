// Bytes as words: loads at any address, and short texts compared in place.
#pragma once
#include <cstddef>
#include <cstdint>
#include <cstring>

#if defined(__x86_64__)
#include <emmintrin.h>
#endif

namespace nm {

static inline uint64_t nm_load8(const char *p) {
    uint64_t v;
    std::memcpy(&v, p, 8);
    return v;
}

static inline uint32_t nm_load4(const char *p) {
    uint32_t v;
    std::memcpy(&v, p, 4);
    return v;
}

static inline bool nm_same(const char *p, const char *q, size_t n) {
    if (n > 16) return std::memcmp(p, q, n) == 0;
    if (n >= 8) return ((nm_load8(p) ^ nm_load8(q)) | (nm_load8(p + n - 8) ^ nm_load8(q + n - 8))) == 0;
    if (n >= 4) return ((nm_load4(p) ^ nm_load4(q)) | (nm_load4(p + n - 4) ^ nm_load4(q + n - 4))) == 0;
    for (size_t i = 0; i < n; i++)
        if (p[i] != q[i]) return false;
    return true;
}

#if defined(__x86_64__)
// Whether the 16 bytes at p equal those at `word` under the mask that follows them.  Branch-free in the length.
static inline bool nm_fits(const void *word, const char *p) {
    const __m128i *wanted = static_cast<const __m128i *>(word);
    const __m128i here =
        _mm_and_si128(_mm_loadu_si128(reinterpret_cast<const __m128i *>(p)), _mm_loadu_si128(wanted + 1));
    return _mm_movemask_epi8(_mm_cmpeq_epi8(here, _mm_loadu_si128(wanted))) == 0xFFFF;
}
#endif

}  // namespace nm
