// What the parts of a log reader cost alone: the limits that the whole can be compared with.
//
//   limits read FILE               read() in blocks
//   limits lines FILE              find every newline
//   limits captures FILE PATTERNS  PCRE2 JIT with captures, each pattern on each line
//   limits prefilter FILE LITERALS one Hyperscan database of literals over whole blocks
//
// Prints one JSON object: the seconds of each of five rounds, bytes, and what was counted.  PATTERNS and LITERALS
// hold one a line.

#define PCRE2_CODE_UNIT_WIDTH 8
#include <fcntl.h>
#include <hs/hs.h>
#include <pcre2.h>
#include <unistd.h>

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <functional>
#include <string>
#include <vector>

namespace {

constexpr size_t kBlock = 256 * 1024;
constexpr int kRounds = 5;

[[noreturn]] void fail(const std::string &why) {
    fprintf(stderr, "limits: %s\n", why.c_str());
    exit(1);
}

std::vector<std::string> read_lines(const char *path) {
    std::ifstream file(path);
    if (!file) fail(std::string("cannot read ") + path);
    std::vector<std::string> lines;
    for (std::string line; std::getline(file, line);) lines.push_back(line);
    return lines;
}

std::string read_file(const char *path) {
    std::ifstream file(path, std::ios::binary);
    if (!file) fail(std::string("cannot read ") + path);
    return std::string(std::istreambuf_iterator<char>(file), {});
}

void report(size_t bytes, const std::function<uint64_t()> &round) {
    uint64_t count = 0;
    printf("{\"bytes\": %zu, \"seconds\": [", bytes);
    for (int i = 0; i < kRounds; i++) {
        auto start = std::chrono::steady_clock::now();
        count = round();
        std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
        printf("%s%.6f", i ? ", " : "", took.count());
    }
    printf("], \"count\": %llu}\n", static_cast<unsigned long long>(count));
}

void measure_read(const char *path) {
    char *block = static_cast<char *>(aligned_alloc(4096, kBlock));  // some places in a page take five times as long
    int file = open(path, O_RDONLY);
    if (file < 0) fail(std::string("cannot read ") + path);
    off_t size = lseek(file, 0, SEEK_END);
    report(size, [&] {
        lseek(file, 0, SEEK_SET);
        uint64_t total = 0;
        for (ssize_t n; (n = read(file, block, kBlock)) > 0;) total += n;
        return total;
    });
    close(file);
    free(block);
}

template <typename F> void each_line(const std::string &log, F on_line) {
    const char *at = log.data();
    const char *end = at + log.size();
    while (at < end) {
        auto *stop = static_cast<const char *>(memchr(at, '\n', end - at));
        if (!stop) stop = end;
        on_line(at, static_cast<size_t>(stop - at));
        at = stop + 1;
    }
}

void measure_lines(const char *path) {
    std::string log = read_file(path);
    report(log.size(), [&] {
        uint64_t lines = 0;
        each_line(log, [&](const char *, size_t) { lines++; });
        return lines;
    });
}

void measure_captures(const char *path, const char *patterns) {
    struct Pattern {
        pcre2_code *code;
        pcre2_match_data *data;
    };
    std::vector<Pattern> compiled;
    for (const std::string &text : read_lines(patterns)) {
        int error;
        PCRE2_SIZE where;
        pcre2_code *code = pcre2_compile(reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(), PCRE2_DOLLAR_ENDONLY,
                                         &error, &where, nullptr);
        if (!code) fail("pattern does not compile: " + text);
        if (pcre2_jit_compile(code, PCRE2_JIT_COMPLETE)) fail("no JIT for: " + text);
        compiled.push_back({code, pcre2_match_data_create_from_pattern(code, nullptr)});
    }
    std::string log = read_file(path);
    report(log.size(), [&] {
        uint64_t matches = 0;
        each_line(log, [&](const char *line, size_t size) {
            for (const Pattern &p : compiled)
                matches += pcre2_jit_match(p.code, reinterpret_cast<PCRE2_SPTR>(line), size, 0, 0, p.data, nullptr) > 0;
        });
        return matches;
    });
}

int on_event(unsigned, unsigned long long, unsigned long long, unsigned, void *count) {
    ++*static_cast<uint64_t *>(count);
    return 0;
}

void measure_prefilter(const char *path, const char *literals) {
    std::vector<std::string> texts = read_lines(literals);
    std::vector<const char *> pointers;
    std::vector<size_t> sizes;
    std::vector<unsigned> flags(texts.size(), 0), ids;
    for (const std::string &text : texts) {
        ids.push_back(pointers.size());
        pointers.push_back(text.data());
        sizes.push_back(text.size());
    }
    hs_database_t *database = nullptr;
    hs_compile_error_t *error = nullptr;
    if (hs_compile_lit_multi(pointers.data(), flags.data(), ids.data(), sizes.data(), texts.size(), HS_MODE_BLOCK,
                             nullptr, &database, &error) != HS_SUCCESS)
        fail(error->message);
    hs_scratch_t *scratch = nullptr;
    if (hs_alloc_scratch(database, &scratch) != HS_SUCCESS) fail("no memory for Hyperscan's scratch");

    std::string log = read_file(path);
    report(log.size(), [&] {
        uint64_t events = 0;
        for (size_t at = 0; at < log.size();) {
            size_t end = at + kBlock < log.size() ? log.rfind('\n', at + kBlock) + 1 : log.size();
            if (end <= at) end = log.size();
            if (hs_scan(database, log.data() + at, end - at, 0, scratch, on_event, &events) != HS_SUCCESS)
                fail("hs_scan failed");
            at = end;
        }
        return events;
    });
}

}  // namespace

int main(int argc, char **argv) {
    std::string what = argc > 1 ? argv[1] : "";
    if (what == "read" && argc == 3)
        measure_read(argv[2]);
    else if (what == "lines" && argc == 3)
        measure_lines(argv[2]);
    else if (what == "captures" && argc == 4)
        measure_captures(argv[2], argv[3]);
    else if (what == "prefilter" && argc == 4)
        measure_prefilter(argv[2], argv[3]);
    else
        fail("usage: limits read|lines FILE, or limits captures|prefilter FILE PATTERNS");
}
