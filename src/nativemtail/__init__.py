"""nativemtail: logs to metrics, programs in the mtail language compiled to native matchers."""

__version__ = "0.1.0"
