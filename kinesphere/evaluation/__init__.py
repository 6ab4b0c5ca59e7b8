"""Judging generated motion: the text-to-motion table, and probes whose meaning reads off the joints."""
