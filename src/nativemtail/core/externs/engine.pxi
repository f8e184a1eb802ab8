# Declarations of Hyperscan, PCRE2, RE2 and of the headers that the engine needs.

from libcpp.string cimport string

cdef extern from "core/lines.hpp" namespace "nm" nogil:
    ctypedef bint CBool "bool"
    size_t index_lines(const char* p, size_t n, uint32_t* ends, CBool* ascii) noexcept
    const char* find_newline(const char* at, const char* end) noexcept
    size_t count_newlines(const char* at, const char* end) noexcept
    ctypedef struct TimestampMemo:
        size_t n
    bint timestamp_set(TimestampMemo* memo, const char* p, size_t n, size_t seconds) noexcept
    bint timestamp_is(const TimestampMemo& memo, const char* p) noexcept
    size_t skip_timestamps(const char* base, size_t n, const uint32_t* ends, size_t line, size_t lines,
                        const TimestampMemo& memo) noexcept
    size_t pass_lines(const char* base, const uint32_t* ends, size_t line, size_t limit, const uint8_t* table,
                      uint8_t verdict) noexcept
    void sort_words(uint64_t* words, size_t n) noexcept
    int lowest_bit(uint64_t word) noexcept

ctypedef int (*match_event_handler)(unsigned int, unsigned long long, unsigned long long, unsigned int,
                                    void*) noexcept nogil

cdef extern from "core/teddy.hpp" namespace "nm" nogil:
    ctypedef struct Needle:
        const char* text
        uint32_t n
        uint32_t before
        uint32_t literal
        uint32_t caseless
    ctypedef struct TeddyCell:
        pass
    ctypedef struct Teddy:
        uint8_t low[112]
        uint8_t high[16]
        uint32_t tested
        uint64_t masks[8]
        uint64_t fold
        uint64_t* keys
        TeddyCell* cells
        Needle* needles
        uint64_t factor
        uint32_t shift
    void needle_finish(Needle* needle) noexcept
    bint teddy_works() noexcept
    void teddy_reorder(Teddy* s) noexcept
    bint teddy_enter(Teddy* s, uint64_t key, uint32_t first, uint32_t count) noexcept
    size_t teddy_lines(const Teddy& s, const char* p, size_t n, uint32_t* ends, CBool* ascii,
                      match_event_handler on_found, void* data, size_t* confirmed) noexcept

cdef extern from "core/onepass.hpp" namespace "nm" nogil:
    ctypedef struct OnePass:
        const OnePassOp* ops
        const uint8_t* pool
        uint32_t prefix_length
        uint32_t known
        uint32_t sure
        CBool optional
    ctypedef struct OnePassTrial:
        uint64_t tried
        uint64_t undecided
    bint onepass_works() noexcept
    int onepass_match(const OnePass& pattern, const char* p, size_t n, size_t room, size_t* ov, int pairs) noexcept
    bint onepass_pays(OnePassTrial* trial, int rc) noexcept

cdef extern from "core/fields.hpp" namespace "nm" nogil:
    enum:
        SPAN_ABSENT "nm::kAbsent"
        SPAN_TEXT "nm::kText"
        SPAN_ESCAPED "nm::kEscapedText"
        SPAN_NUMBER "nm::kNumber"
        SPAN_LITERAL "nm::kLiteral"
        SPAN_CONTAINER "nm::kContainer"
        SPAN_BARE "nm::kBare"
        SPAN_DOUBLED "nm::kDoubled"
        SPAN_LOGFMT "nm::kLogfmtText"
    ctypedef struct FieldSpan:
        uint32_t start
        uint32_t end
        uint32_t kind
    ctypedef struct FieldRows:
        FieldSpan* p
        size_t n
        size_t room
        size_t limit
        uint32_t count
    ctypedef struct FieldTable:
        const FieldNode* nodes
        const FieldEdge* edges
        const uint32_t* leaves
        const uint8_t* pool
        const uint8_t* needed
        uint32_t common
        uint32_t each
        uint32_t separator
    void place_texts(const Str* texts, int n, const char* base, size_t* ov) noexcept
    size_t field_text(uint32_t kind, const char* p, size_t n, char* out) noexcept
    bint number_to_int(const char* p, size_t n, int64_t* value) noexcept
    bint lacks_wanted(const FieldTable& t, const FieldSpan* spans, uint32_t first, uint32_t n) noexcept
    int read_json(const FieldTable& t, const char* text, size_t n, FieldSpan* spans, FieldRows* rows) noexcept
    void read_logfmt(const FieldTable& t, const char* text, size_t n, FieldSpan* spans, FieldRows* rows) noexcept
    int read_csv(const FieldTable& t, const char* text, size_t n, FieldSpan* spans, FieldRows* rows) noexcept

cdef extern from "core/regex.hpp" namespace "nm" nogil:
    void* re2_compile(const char* text, size_t n) noexcept
    void re2_free(void* re) noexcept
    int re2_match(const void* re, const char* s, size_t n, size_t start, size_t* ov, int pairs, bint stepped) noexcept

cdef extern from "core/regex.hpp" nogil:
    ctypedef struct pcre2_code:
        pass
    ctypedef struct pcre2_match_data:
        pass
    ctypedef struct pcre2_match_context:
        pass
    ctypedef struct pcre2_jit_stack:
        pass
    enum:
        PCRE2_UTF
        PCRE2_NO_UTF_CHECK
        PCRE2_JIT_COMPLETE
        PCRE2_ERROR_NOMATCH
    pcre2_code* pcre2_compile(const unsigned char*, size_t, uint32_t, int*, size_t*, void*) noexcept
    void pcre2_code_free(pcre2_code*) noexcept
    int pcre2_jit_compile(pcre2_code*, uint32_t) noexcept
    int pcre2_jit_match(const pcre2_code*, const unsigned char*, size_t, size_t, uint32_t, pcre2_match_data*,
                        pcre2_match_context*) noexcept
    pcre2_match_data* pcre2_match_data_create(uint32_t, void*) noexcept
    void pcre2_match_data_free(pcre2_match_data*) noexcept
    size_t* pcre2_get_ovector_pointer(pcre2_match_data*) noexcept
    pcre2_match_context* pcre2_match_context_create(void*) noexcept
    void pcre2_match_context_free(pcre2_match_context*) noexcept
    int pcre2_set_match_limit(pcre2_match_context*, uint32_t) noexcept
    pcre2_jit_stack* pcre2_jit_stack_create(size_t, size_t, void*) noexcept
    void pcre2_jit_stack_free(pcre2_jit_stack*) noexcept
    void pcre2_jit_stack_assign(pcre2_match_context*, void*, void*) noexcept

    ctypedef struct hs_database_t:
        pass
    ctypedef struct hs_scratch_t:
        pass
    ctypedef struct hs_compile_error_t:
        char* message
        int expression
    enum:
        HS_SUCCESS
        HS_FLAG_CASELESS
        HS_MODE_BLOCK
    int hs_valid_platform() noexcept
    int hs_compile_multi(const char* const*, const unsigned int*, const unsigned int*, unsigned int, unsigned int,
                         const void*, hs_database_t**, hs_compile_error_t**) noexcept
    int hs_free_compile_error(hs_compile_error_t*) noexcept
    int hs_free_database(hs_database_t*) noexcept
    int hs_serialize_database(const hs_database_t*, char**, size_t*) noexcept
    int hs_deserialize_database(const char*, size_t, hs_database_t**) noexcept
    int hs_alloc_scratch(const hs_database_t*, hs_scratch_t**) noexcept
    int hs_free_scratch(hs_scratch_t*) noexcept
    int hs_scan(const hs_database_t*, const char*, unsigned int, unsigned int, hs_scratch_t*, match_event_handler,
                void*) noexcept

cdef extern from "core/watcher.hpp" namespace "nm" nogil:
    cppclass WatchEvent:
        int watch
        unsigned mask
        unsigned cookie
        string name
        int fd
    cppclass WatcherThread:
        int start(bint with_thread) noexcept
        int descriptor() noexcept
        int add(const char* path, unsigned mask) noexcept
        void remove(int number) noexcept
        int open_new(int number, const char* directory, vector[string]* pieces) noexcept
        void read(size_t most, vector[WatchEvent]* found) noexcept
        void stop() noexcept
    size_t WATCHER_HELD "nm::WatcherThread::HELD"
    size_t WATCHER_EVENTS "nm::WatcherThread::EVENTS"
    WatcherThread* new_watcher "nm::new_object<nm::WatcherThread>" () noexcept
    void delete_watcher "nm::delete_object<nm::WatcherThread>" (WatcherThread* watcher) noexcept
