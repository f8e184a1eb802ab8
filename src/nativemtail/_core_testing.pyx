# distutils: language = c++
"""Hooks for tests of the core's internals, not part of wheels.  The parts without dependencies are compiled into it."""

from nativemtail._core cimport *

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
include "core/time/layout.pxi"
include "core/time/elements.pxi"
include "core/time/strptime.pxi"
include "core/time/errors.pxi"
include "core/memory.pxi"
include "core/match/teddy.pxi"
include "core/testing/text.pxi"
include "core/testing/match.pxi"
include "core/testing/store.pxi"
