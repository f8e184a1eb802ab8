// A history: what lines wrote to the series of a metric, by the step of the grid in which their own time is.
//
// For each series there is a list of cells.  The key of a cell is its step times the number of parts of a value, plus
// the part.  Sums of integers are exact because they are integers; sums of doubles are, because a double is cut into
// digits of kDigit bits, and those of each place are summed apart (a superaccumulator).  So cells can be added up in
// any order.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <new>
#include <vector>

namespace nm {

enum HistoryHow : int {
    kHistorySum = 1,       // increments of an Int
    kHistoryExact = 2,     // increments of a Float
    kHistoryLatest = 3,    // the write with the latest time, of equal ones the last
    kHistoryObserved = 4,  // observations: their exact sum, and how many are in each range
};

constexpr int kDigit = 28;            // bits; 2³⁵ numbers can be added without overflow
constexpr int kLeastExponent = 1074;  // of the smallest double, negated
enum HistoryPart : int {
    kNan = 0,  // how many NaN, +Inf, -Inf were added
    kPlus = 1,
    kMinus = 2,
    kDigits = 3,   // the digit of the lowest place
    kBucket = 80,  // the first range
};

struct Cell {
    int64_t key;
    int64_t value;  // a sum, or the bits of the value written
    int64_t time;   // of the latest write
};

// The cells of a series: those before `sorted` in order of their keys, each once; of the others a key may have several.
struct Cells {
    Cell *p = nullptr;
    uint32_t n = 0;
    uint32_t cap = 0;
    uint32_t sorted = 0;
};

// A series that was removed, and the step in which it ended.
struct Ended {
    char *key;
    uint32_t key_n;
    int64_t step;
    Cells cells;
};

class History {
    static constexpr uint32_t kRecent = 16;  // cells at the end that are searched one by one
    static constexpr uint32_t kUnsorted = 64;

  public:
    const int how;
    const int64_t step;
    const int64_t parts;
    int64_t ends_at = 0;  // the step in which series that are removed now end
    bool failed = false;  // out of memory
    size_t memory = 0;
    std::vector<Cells> series;  // by slot
    std::vector<Ended> ended;

    History(int how, int64_t step, int64_t ranges)
        : how(how),
          step(step),
          parts(how == kHistoryExact      ? int64_t{kBucket}
                : how == kHistoryObserved ? kBucket + ranges
                                          : 1) {}
    History(const History &) = delete;
    History &operator=(const History &) = delete;
    ~History() { clear(); }

    void clear() noexcept {
        for (Cells &cells : series) free(cells.p);
        for (Ended &each : ended) {
            free(each.cells.p);
            free(each.key);
        }
        series.clear();
        ended.clear();
        memory = 0;
    }

    // The step that a time in nanoseconds belongs to: its instant is not before the time.
    int64_t step_of(int64_t time) const noexcept { return time / step + (time % step > 0); }

    void add(uint32_t slot, int64_t time, int64_t part, int64_t delta) noexcept {
        add_at(slot, step_of(time) * parts + part, delta);
    }

    void put(uint32_t slot, int64_t time, int64_t value) noexcept {
        const int64_t key = step_of(time);
        Cells *cells = of(slot);
        if (cells == nullptr) return;
        Cell *cell = find(*cells, key);
        if (cell == nullptr) {
            append(*cells, Cell{key, value, time});
        } else if (time >= cell->time) {
            cell->value = value;
            cell->time = time;
        }
    }

    // Adds a double, digit by digit.
    void add_exactly(uint32_t slot, int64_t time, double x) noexcept {
        const int64_t base = step_of(time) * parts;
        if (!std::isfinite(x)) {
            add_at(slot, base + (std::isnan(x) ? kNan : x > 0 ? kPlus : kMinus), 1);
            return;
        }
        int exponent = 0;
        const int64_t mantissa = int64_t(std::ldexp(std::frexp(x, &exponent), 53));
        int at = exponent - 53 + kLeastExponent;
        __int128 rest = mantissa;
        if (at < 0) {  // subnormal: the lowest bits are zero
            rest >>= -at;
            at = 0;
        }
        rest <<= at % kDigit;
        int64_t part = base + kDigits + at / kDigit;
        if (rest == 0) add_at(slot, base + kDigits, 0);
        for (; rest != 0; part++) {
            const int64_t digit = rest < 0 ? -int64_t(-rest & kMask) : int64_t(rest & kMask);
            if (digit != 0) add_at(slot, part, digit);
            rest = (rest - digit) >> kDigit;
        }
    }

    // Called before the series of a slot is removed.
    void end(uint32_t slot, const char *key, size_t n) noexcept {
        if (slot >= series.size() || series[slot].n == 0) return;
        char *copy = static_cast<char *>(malloc(n ? n : 1));
        if (copy == nullptr) {
            failed = true;
            return;
        }
        memcpy(copy, key, n);
        try {
            ended.push_back(Ended{copy, uint32_t(n), ends_at, series[slot]});
            memory += n + sizeof(Ended);
        } catch (const std::bad_alloc &) {
            free(copy);
            failed = true;
            return;
        }
        series[slot] = Cells{};
    }

    // Sorts the cells of a series, so that each key is there once.
    void sort(Cells &cells) const noexcept {
        if (cells.sorted == cells.n) return;
        std::stable_sort(cells.p, cells.p + cells.n, [](const Cell &a, const Cell &b) { return a.key < b.key; });
        uint32_t last = 0;
        for (uint32_t i = 1; i < cells.n; i++) {
            Cell &kept = cells.p[last];
            const Cell &next = cells.p[i];
            if (next.key != kept.key) {
                cells.p[++last] = next;
            } else if (how != kHistoryLatest) {
                kept.value = int64_t(uint64_t(kept.value) + uint64_t(next.value));
            } else if (next.time >= kept.time) {
                kept = next;
            }
        }
        cells.n = cells.sorted = last + 1;
    }

    Cells *cells_of(uint32_t slot) noexcept {
        if (slot >= series.size() || series[slot].n == 0) return nullptr;
        sort(series[slot]);
        return &series[slot];
    }

  private:
    static constexpr int64_t kMask = (int64_t{1} << kDigit) - 1;

    Cells *of(uint32_t slot) noexcept {
        if (slot >= series.size()) {
            try {
                series.resize(std::max<size_t>(slot + size_t{1}, series.size() * 2));
            } catch (const std::bad_alloc &) {
                failed = true;
                return nullptr;
            }
        }
        return &series[slot];
    }

    void add_at(uint32_t slot, int64_t key, int64_t delta) noexcept {
        Cells *cells = of(slot);
        if (cells == nullptr) return;
        Cell *cell = find(*cells, key);
        if (cell == nullptr)
            append(*cells, Cell{key, delta, 0});
        else
            cell->value = int64_t(uint64_t(cell->value) + uint64_t(delta));
    }

    // NULL: append one.
    static Cell *find(Cells &cells, int64_t key) noexcept {
        Cell *end = cells.p + cells.n;
        Cell *first = end - std::min(cells.n, kRecent);
        for (Cell *cell = end; cell != first;)
            if ((--cell)->key == key) return cell;
        Cell *sorted = cells.p + cells.sorted;
        if (sorted == cells.p || key > sorted[-1].key) return nullptr;
        Cell *found = std::lower_bound(cells.p, sorted, key, [](const Cell &a, int64_t k) { return a.key < k; });
        return found->key == key ? found : nullptr;
    }

    void append(Cells &cells, const Cell &cell) noexcept {
        if (cells.n - cells.sorted >= std::max(kUnsorted, cells.sorted)) sort(cells);
        if (cells.n == cells.cap) {
            const uint32_t cap = cells.cap ? cells.cap * 2 : 4;
            Cell *moved =
                cells.cap < UINT32_C(1) << 30 ? static_cast<Cell *>(realloc(cells.p, cap * sizeof(Cell))) : nullptr;
            if (moved == nullptr) {
                failed = true;
                return;
            }
            memory += (cap - cells.cap) * sizeof(Cell);
            cells.p = moved;
            cells.cap = cap;
        }
        if (cells.sorted == cells.n && (cells.n == 0 || cells.p[cells.n - 1].key < cell.key)) cells.sorted++;
        cells.p[cells.n++] = cell;
    }
};

// NULL without memory.
inline History *new_history(int how, int64_t step, int64_t ranges) noexcept {
    return new (std::nothrow) History(how, step, ranges);
}
inline void delete_history(History *history) noexcept { delete history; }

}  // namespace nm
