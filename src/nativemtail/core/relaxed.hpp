// Counters that are written under a lock and read without it.  Relaxed atomics suffice: readers need untorn values, but
// no order between counters.
#pragma once

namespace nm {

template <class T> static inline T relaxed_load(const T *p) { return __atomic_load_n(p, __ATOMIC_RELAXED); }
template <class T> static inline void relaxed_store(T *p, T v) { __atomic_store_n(p, v, __ATOMIC_RELAXED); }
template <class T> static inline void relaxed_add(T *p, T more) {
    relaxed_store(p, static_cast<T>(relaxed_load(p) + more));
}

}  // namespace nm
