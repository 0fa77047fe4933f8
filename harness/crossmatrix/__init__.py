"""crossmatrix: a cross-compilation matrix test harness for Go."""

__version__ = "0.1.0"
