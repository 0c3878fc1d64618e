"""Reports: what a run found, as one HTML file that needs nothing but a browser (no torch here)."""

from thalweg.report.model import Chart, Curve, Part, Picture, Report, Section, Table, Text
from thalweg.report.render import render, write

__all__ = ["Chart", "Curve", "Part", "Picture", "Report", "Section", "Table", "Text", "render", "write"]
