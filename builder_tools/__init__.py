"""builder_tools: recognise nine emotions from faces, and study how."""

__version__ = "0.1.0"
