"""Measures of motion as the field computes them, each held to what the published code prints (tests, golden values)."""
