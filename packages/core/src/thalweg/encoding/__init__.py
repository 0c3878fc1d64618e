"""From images to shards: every image of a source through an autoencoder, once.

One process or several; what a kill leaves behind is gone on with.
"""

from thalweg.encoding.job import EncodingJob, Outcome
from thalweg.encoding.run import encode

__all__ = ["EncodingJob", "Outcome", "encode"]
