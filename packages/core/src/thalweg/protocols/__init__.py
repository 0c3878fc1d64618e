"""The contracts that components fulfil, one protocol a kind.

Third parties inherit from nothing but ``torch.nn.Module``: whatever has these methods is a component.
A component is registered through its *config*: a frozen attrs class that holds the hyperparameters and
whose ``build(facts)`` returns the component. Some kinds are built from something else: the ``build()`` of
a data set, source, autoencoder or text encoder takes nothing, importers' and exporters' are given None, and a
logger's takes the run directory.

The protocol of a path, the kind ``interpolant``, is :class:`thalweg.interpolant.Schedule`.
"""

from thalweg.protocols.configs import Config
from thalweg.protocols.data import Dataset, Record, Source, Split, View
from thalweg.protocols.encoders import Autoencoder, PatchEncoder, PooledEncoder, TextEncoder, VisionEncoder
from thalweg.protocols.metrics import Better, Metric, Statistic
from thalweg.protocols.networks import Backbone, Exporter, Importer, Refiner
from thalweg.protocols.sampling import Guidance, Sampler
from thalweg.protocols.training import (
    Average,
    Averages,
    Logger,
    Objective,
    Optimizer,
    Planner,
    RateSchedule,
    TimeSampler,
)

__all__ = [
    "Autoencoder",
    "Average",
    "Averages",
    "Backbone",
    "Better",
    "Config",
    "Dataset",
    "Exporter",
    "Guidance",
    "Importer",
    "Logger",
    "Metric",
    "Objective",
    "Optimizer",
    "PatchEncoder",
    "Planner",
    "PooledEncoder",
    "RateSchedule",
    "Record",
    "Refiner",
    "Sampler",
    "Source",
    "Split",
    "Statistic",
    "TextEncoder",
    "TimeSampler",
    "View",
    "VisionEncoder",
]
