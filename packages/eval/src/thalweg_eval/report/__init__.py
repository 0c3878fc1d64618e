"""Reports: what a run found, as one HTML file that needs nothing but a browser (no torch here)."""

from thalweg_eval.report.model import Chart, Curve, HeatMap, Page, Paragraphs, Part, Picture, Section, Table
from thalweg_eval.report.render import render, write

__all__ = [
    "Chart",
    "Curve",
    "HeatMap",
    "Page",
    "Paragraphs",
    "Part",
    "Picture",
    "Section",
    "Table",
    "render",
    "write",
]
