"""Tuning of guidance: one network under a grid of scales, intervals and heads, all on the same noise."""

from typing import TYPE_CHECKING

from thalweg.lazy_names import lazy_names

if TYPE_CHECKING:
    from thalweg_eval.tuning.tune import tune_guidance as tune_guidance

__getattr__, __dir__, __all__ = lazy_names(__name__, {"thalweg_eval.tuning.tune": "tune_guidance"})
