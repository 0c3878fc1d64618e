"""Tuning of guidance or sampler: one network under a grid of them, all points on the same noise."""

from typing import TYPE_CHECKING

from thalweg.lazy_names import lazy_names

if TYPE_CHECKING:
    from thalweg_eval.tuning.guidance import tune_guidance as tune_guidance
    from thalweg_eval.tuning.samplers import tune_sampler as tune_sampler

__getattr__, __dir__, __all__ = lazy_names(
    __name__,
    {"thalweg_eval.tuning.guidance": "tune_guidance", "thalweg_eval.tuning.samplers": "tune_sampler"},
)
