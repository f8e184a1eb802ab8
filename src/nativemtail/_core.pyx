# distutils: language = c++
"""The extension: engine and store.  Each part of `core/` is one concern; a part uses only those before it.

    abi, types        what the compiler shares with the core; the data that the parts share
    text, timeparse   leaves: bytes, numbers, UTF-8; strptime
    store, names      metrics and their label sets; names that Prometheus refuses
    render            Prometheus text and JSON
    replace, match    all matches in a text in linear time; captures
    act               the interpreter of the action tables
    seek              literals found by a vector scan
    plan, state       the tables of all programs; what changes while one engine runs them
    scan              blocks, gates and the engine
    watcher           a thread that gets hold of new files
    testing…          doors for the tests
"""

include "core/externs.pxi"
include "core/abi.pxi"
include "core/types.pxi"
include "core/text.pxi"
include "core/timeparse.pxi"
include "core/store.pxi"
include "core/names.pxi"
include "core/render.pxi"
include "core/parts.pxi"
include "core/replace.pxi"
include "core/match.pxi"
include "core/act.pxi"
include "core/seek.pxi"
include "core/plan.pxi"
include "core/state.pxi"
include "core/scan.pxi"
include "core/watcher.pxi"
include "core/testing.pxi"
include "core/testing_store.pxi"
