// Bytes as words: loads at any address, and short texts compared in place.
#pragma once
#include <cstddef>
#include <cstdint>
#include <cstring>

#if defined(__x86_64__)
#include <emmintrin.h>
#endif

namespace nm {

static inline uint64_t load_u64(const char *p) {
    uint64_t v;
    std::memcpy(&v, p, 8);
    return v;
}

static inline uint32_t load_u32(const char *p) {
    uint32_t v;
    std::memcpy(&v, p, 4);
    return v;
}

static inline bool same_bytes(const char *p, const char *q, size_t n) {
    if (n > 16) return std::memcmp(p, q, n) == 0;
    if (n >= 8) return ((load_u64(p) ^ load_u64(q)) | (load_u64(p + n - 8) ^ load_u64(q + n - 8))) == 0;
    if (n >= 4) return ((load_u32(p) ^ load_u32(q)) | (load_u32(p + n - 4) ^ load_u32(q + n - 4))) == 0;
    for (size_t i = 0; i < n; i++)
        if (p[i] != q[i]) return false;
    return true;
}

#if defined(__x86_64__)
// Whether the 16 bytes at p equal those at `word` under the mask that follows them.  Branch-free in the length.
static inline bool starts_with_word(const void *word, const char *p) {
    const __m128i *wanted = static_cast<const __m128i *>(word);
    const __m128i here =
        _mm_and_si128(_mm_loadu_si128(reinterpret_cast<const __m128i *>(p)), _mm_loadu_si128(wanted + 1));
    return _mm_movemask_epi8(_mm_cmpeq_epi8(here, _mm_loadu_si128(wanted))) == 0xFFFF;
}
#endif

}  // namespace nm
