"""Exporters: one file per format, each from a snapshot of the store to bytes."""
