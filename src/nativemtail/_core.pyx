# distutils: language = c++
"""The extension: engine and store.  Each part of `core/` is one concern; a part uses only those before it.

    abi, types        what the compiler shares with the core; the data that the parts share
    text, time        leaves: bytes, numbers, UTF-8; time zones, strptime
    store             metrics and their label sets
    render            Prometheus text and JSON
    replace, match    all matches in a text in linear time; captures
    search            one pattern, for texts that are no lines
    interp            the interpreter of the action tables
    teddy             literals found by a vector scan
    plan, state       the tables of all programs; what changes while one engine runs them
    engine            blocks, gates and the engine
    watcher           a thread that gets hold of new files
    testing…          doors for the tests
"""

include "core/externs.pxi"
include "core/abi.pxi"
include "core/types.pxi"
include "core/text/buffer.pxi"
include "core/text/number.pxi"
include "core/text/parse.pxi"
include "core/text/utf8.pxi"
include "core/text/quote.pxi"
include "core/text/subst.pxi"
include "core/text/python.pxi"
include "core/time/calendar.pxi"
include "core/time/zone.pxi"
include "core/time/timezone.pxi"
include "core/time/layout.pxi"
include "core/time/elements.pxi"
include "core/time/strptime.pxi"
include "core/time/errors.pxi"
include "core/store/layout.pxi"
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
include "core/render/sort.pxi"
include "core/render/samples.pxi"
include "core/render/jsontext.pxi"
include "core/render/names.pxi"
include "core/render/family.pxi"
include "core/render/prometheus.pxi"
include "core/render/json.pxi"
include "core/render/metrics_json.pxi"
include "core/render/rows.pxi"
include "core/render/division.pxi"
include "core/render/view.pxi"
include "core/replace.pxi"
include "core/match.pxi"
include "core/search.pxi"
include "core/interp.pxi"
include "core/teddy.pxi"
include "core/plan.pxi"
include "core/state.pxi"
include "core/engine.pxi"
include "core/watcher.pxi"
include "core/testing.pxi"
include "core/testing_store.pxi"
