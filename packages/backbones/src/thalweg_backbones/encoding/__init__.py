"""From images to shards: every image of a source through an autoencoder, once.

One process or several; what was interrupted or killed is resumed.
"""

from thalweg_backbones.encoding.job import EncodingJob, EncodingOutcome
from thalweg_backbones.encoding.run import encode

__all__ = ["EncodingJob", "EncodingOutcome", "encode"]
