"""Log sources: what can be read, and how its bytes become blocks of whole lines.

Knows neither programs nor exporters: blocks go to whatever sink the caller gives.
"""
