// Bytes as words: loads at any address, and short texts compared in place.
#pragma once
#include <cstddef>
#include <cstdint>
#include <cstring>

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
