# distutils: language = c++
"""Snapshots of the store as text: Prometheus, OpenMetrics and JSON.  A separate extension, so that changing it does
not recompile the engine.  A part uses only parts before it and what `_core.pxd` declares.
"""

from nativemtail._core cimport *

include "core/text/buffer.pxi"
include "core/text/number.pxi"
include "core/text/utf8.pxi"
include "core/text/quote.pxi"
include "core/text/python.pxi"
include "core/render/number.pxi"
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
