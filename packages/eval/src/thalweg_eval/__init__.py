"""Metrics, evaluation, ablations, analyses and reports for Thalweg.

Names are looked up when they are first used: plugins load without torch.
"""

from typing import TYPE_CHECKING

from thalweg.lazy_names import lazy_names

if TYPE_CHECKING:
    from thalweg.passport import Passport as Passport
    from thalweg.passport import read_passport as read_passport
    from thalweg_eval.analysis.analyse import analyse as analyse
    from thalweg_eval.evaluation.compare import compare as compare
    from thalweg_eval.evaluation.evaluate import evaluate as evaluate
    from thalweg_eval.evaluation.image_sets.tensor import TensorImages as TensorImages

__getattr__, __dir__, __all__ = lazy_names(
    __name__,
    {
        "thalweg_eval.analysis.analyse": "analyse",
        "thalweg_eval.evaluation.compare": "compare",
        "thalweg.passport": "Passport read_passport",
        "thalweg_eval.evaluation.evaluate": "evaluate",
        "thalweg_eval.evaluation.image_sets.tensor": "TensorImages",
    },
)
