# distutils: language = c++
"""Engine and store.  Each part of `core/` is one concern; a part uses only those before it, and what `_core.pxd` declares.

    text, time        leaves: bytes, numbers, UTF-8; time zones, strptime
    store             metrics and their label sets
    replace, match    all matches in a text in linear time; captures
    search            one pattern, for texts that are no lines
    interp            the interpreter of the action tables
    teddy             literals found by a vector scan
    plan, state       the tables of all programs; what changes while one engine runs them
    engine            blocks, gates and the engine
    watcher           a thread that gets hold of new files
"""

cimport cython

include "core/externs/engine.pxi"
include "core/text/buffer.pxi"
include "core/text/number.pxi"
include "core/text/utf8.pxi"
include "core/text/quote.pxi"
include "core/text/parse.pxi"
include "core/text/subst.pxi"
include "core/text/python.pxi"
include "core/time/calendar.pxi"
include "core/time/zone.pxi"
include "core/time/timezone.pxi"
include "core/time/layout.pxi"
include "core/time/elements.pxi"
include "core/time/strptime.pxi"
include "core/time/errors.pxi"
include "core/store/reclaim.pxi"
include "core/store/table.pxi"
include "core/store/index.pxi"
include "core/store/heap.pxi"
include "core/store/datum.pxi"
include "core/store/lifecycle.pxi"
include "core/store/lock.pxi"
include "core/store/metric.pxi"
include "core/store/snapshot.pxi"
include "core/store/store.pxi"
include "core/memory.pxi"
include "core/replace.pxi"
include "core/match.pxi"
include "core/search.pxi"
include "core/interp.pxi"
include "core/teddy.pxi"
include "core/plan.pxi"
include "core/state.pxi"
include "core/engine.pxi"
include "core/watcher.pxi"
