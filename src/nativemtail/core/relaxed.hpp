// Counters that are written under a lock and read without it.  Relaxed atomics suffice: readers need untorn values, but
// no order between counters.
#pragma once

namespace nm {

template <class T> static inline T nm_load(const T *p) { return __atomic_load_n(p, __ATOMIC_RELAXED); }
template <class T> static inline void nm_put(T *p, T v) { __atomic_store_n(p, v, __ATOMIC_RELAXED); }
template <class T> static inline void nm_add(T *p, T more) { nm_put(p, static_cast<T>(nm_load(p) + more)); }

}  // namespace nm
