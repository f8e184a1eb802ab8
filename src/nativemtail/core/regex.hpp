// RE2 behind C-like functions that never throw or print, and the configured headers of PCRE2 and Hyperscan.
#pragma once
#define PCRE2_CODE_UNIT_WIDTH 8
#include <hs.h>
#include <pcre2.h>
#include <re2/re2.h>

#include <cstddef>
#include <cstdint>
#include <new>
#include <vector>

namespace nm {

constexpr int64_t kRe2Memory = int64_t{256} << 20;  // room for the largest pattern Go accepts; used as needed

inline void *re2_compile(const char *text, size_t n) noexcept {
    try {
        re2::RE2::Options options;
        options.set_log_errors(false);
        options.set_max_mem(kRe2Memory);
        auto *re = new re2::RE2(re2::StringPiece(text, n), options);
        if (re->ok()) return re;
        delete re;
    } catch (const std::bad_alloc &) {}
    return nullptr;
}

inline void re2_free(void *re) noexcept { delete static_cast<re2::RE2 *>(re); }

// Offsets of the first `pairs` groups into `ov` (two each, SIZE_MAX where a group took no part).
// 1: matched, 0: not, -1: out of memory.  `stepped`: the pattern consumes what precedes the match, which is
// its first group.
inline int re2_match(const void *re, const char *s, size_t n, size_t start, size_t *ov, int pairs,
                     bool stepped) noexcept {
    try {
        constexpr int kInline = 32;
        re2::StringPiece inline_groups[kInline];
        std::vector<re2::StringPiece> more;
        re2::StringPiece *groups = inline_groups;
        const int wanted = pairs + (stepped && pairs > 0);
        if (wanted > kInline) {
            more.resize(wanted);
            groups = more.data();
        }
        re2::StringPiece text(s, n);
        const auto anchor = stepped ? re2::RE2::ANCHOR_START : re2::RE2::UNANCHORED;
        if (!static_cast<const re2::RE2 *>(re)->Match(text, start, n, anchor, groups, wanted)) return 0;
        groups += wanted - pairs;
        for (int i = 0; i < pairs; i++) {
            bool set = groups[i].data() != nullptr;
            ov[2 * i] = set ? size_t(groups[i].data() - s) : SIZE_MAX;
            ov[2 * i + 1] = set ? ov[2 * i] + groups[i].size() : SIZE_MAX;
        }
        return 1;
    } catch (const std::bad_alloc &) {
        return -1;
    }
}

}  // namespace nm
