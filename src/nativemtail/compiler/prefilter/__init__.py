"""The prefilter: required literals of patterns, their choice, and the guards of programs."""
