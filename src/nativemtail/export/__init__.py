"""Exporters: one module per format, each turns a snapshot of the store into bytes."""
