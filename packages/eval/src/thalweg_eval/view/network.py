"""The network behind the page: what can be chosen, and its samples as ``thalweg sample`` draws them."""

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import attrs
import torch
from jaxtyping import UInt8
from torch import Tensor

from thalweg.calibrating import calibrate, measured_heads
from thalweg.config import dump
from thalweg.devices import devices_of
from thalweg.errors import DataError, ThalwegError
from thalweg.facts import Facts
from thalweg.generation.captions import Captions, Prompts, captions_for
from thalweg.generation.models import model_at
from thalweg.generation.network_samples import SavedNetworkSamples
from thalweg.generation.settings import SamplesConfig, check_sample_settings, sample_settings
from thalweg.generation.source import SampleSource
from thalweg.jobs import ranges as spans
from thalweg.loading import load
from thalweg.network import FlowNetwork
from thalweg.plugins import build_component
from thalweg.storage import redacted
from thalweg.storage.places import plain_place
from thalweg.types import Head
from thalweg_eval.view.choice import Choice, chosen_by

_PRECISION = {"precision": "auto"}  # as the command's default


@attrs.frozen(eq=False)
class ShownSamples:
    """Samples that were drawn.

    Attributes:
        images: 0..255, N x C x H x W.
        labels: the class of each; None without classes.
        captions: of each; None without.
        nfe: of one sample, on average.
        seconds: taken.
        command: the command line that gives the same.
    """

    images: UInt8[Tensor, "N C H W"]
    labels: Sequence[int] | None
    captions: Sequence[str] | None
    nfe: float
    seconds: float
    command: str


class ViewedNetwork:
    """A saved network, loaded once and drawn from many times.

    Args:
        model: a saved network, or a run that holds one; a path or a URL.
        settings: ``KEY=VALUE`` of ``thalweg sample`` that hold for all that is drawn.
        device: where it runs, as of :func:`thalweg.devices.devices_of`.
        say: called with a sentence before something that takes time.

    Attributes:
        facts: of the network.
        heads: its intermediate heads, in every form that it has; none if it has none.
        choice: what the page begins with.
        uncalibrated: why there is no calibration; empty if there is one.
        unconditional: why there is no classifier-free guidance; empty if there is.

    Raises:
        ConfigError: a setting is wrong, or samples cannot be shown as images.
        DataError: there is no network, or it is damaged.
        PluginError: a plugin that it needs is missing.
    """

    def __init__(
        self,
        model: str,
        settings: Sequence[str] = (),
        device: str = "auto",
        say: Callable[[str], None] = lambda _: None,
    ) -> None:
        check_sample_settings(_PRECISION, settings)
        self._model, self._settings = plain_place(model), tuple(settings)
        everywhere = devices_of(device, "auto")
        self._device = everywhere[0] if len(everywhere) == 1 else devices_of(device)[0]
        stated = [] if device == "auto" else ["--device", device]
        self._options = stated if len(everywhere) == 1 else [*stated, "--devices", "1"]
        saved = model_at(self._model)
        if saved is None:
            raise DataError(
                f"{redacted(str(model))} holds no network; give a saved one, a run or a checkpoint"
            )
        self._saved = saved
        config = self._config(Choice(guidance="run"), own=True)
        say(f"loading {redacted(str(model))}")
        self._network = load(saved.path, device=self._device)
        self.facts: Facts = self._network.facts
        requested = SavedNetworkSamples.requested(saved, config)
        self._decoder = requested.decoder(self._device, self.facts)
        self._decoder(torch.zeros(1, *self.facts.shape))  # whether it can
        self.heads: tuple[Head, ...] = measured_heads(self._network) if self.facts.weak_heads else ()
        self.uncalibrated = self._calibrate(requested.data, say)
        self._calibration = self._network.calibration
        self.unconditional = self._without_condition()
        self.choice = self._first(chosen_by(dump(config)))
        self._read: tuple[Any, Captions | None] | None = None
        self._lock = threading.Lock()

    @property
    def is_drawing(self) -> bool:
        """Whether samples are being drawn at this moment."""
        return self._lock.locked()

    def draw(self, choice: Choice) -> ShownSamples:
        """Draw samples, in the batches in which ``thalweg sample`` draws them.

        Raises:
            ConfigError: the choice does not fit the network.
            ThalwegError: a sample is not finite.
        """
        with self._lock:
            begun = time.perf_counter()
            config = self._config(choice)
            requested = SavedNetworkSamples.requested(self._saved, config, choice.classes or None)
            source = SampleSource(
                self._fresh(),
                requested.sampling,
                requested.count,
                classes=requested.classes,
                captions=self._captions(requested),
                device=self._device,
            )
            images, labels = list[Tensor](), list[int]()
            for start, stop in spans.batches([(0, config.count)], config.batch_size):
                found = source(range(start, stop))
                images.append(self._decoder(found.x))
                labels += [] if found.labels is None else found.labels.tolist()
            return ShownSamples(
                torch.cat(images),
                labels or None,
                source.captions(range(config.count)),
                float(source.total_nfe) / config.count,
                time.perf_counter() - begun,
                choice.command(redacted(str(self._model)), self._settings, self._options),
            )

    def _config(self, choice: Choice, *, own: bool = False) -> SamplesConfig:
        """All settings; ``own`` for those of the run alone."""
        chosen = self._settings if own else choice.settings(self._settings)
        stated = {**_PRECISION, **choice.stated}
        return sample_settings(stated, chosen, self._saved.inherited).config

    def _captions(self, requested: SavedNetworkSamples) -> Captions | None:
        """The captions, without an encoder or a data set being opened again for each picture."""
        sampling = requested.sampling
        key = (sampling.prompts, sampling.captions, sampling.seed)
        if self._read is None or self._read[0] != key:
            before = None if self._read is None else self._read[1]
            if sampling.prompts and isinstance(before, Prompts):
                self._read = (key, before.again(sampling.prompts))
            else:
                self._read = (key, captions_for(self.facts, sampling, requested.data, self._device))
        return self._read[1]

    def _fresh(self) -> FlowNetwork:
        """The network as a command has it: many samples compile it in place, which rounds otherwise."""
        if self._network.is_compiled:
            torch.compiler.reset()
            self._network = load(self._saved.path, device=self._device)
            self._network.calibration = self._calibration
        return self._network

    def _calibrate(self, data: Any, say: Callable[[str], None]) -> str:
        """Measure the heads where nobody has; why that is not possible, else nothing."""
        if not self.heads:
            return "The network has no intermediate head; thalweg fit-head adds one."
        if self._network.calibration is not None:
            return ""
        if data is None:
            return (
                "There is no calibrated scale: none was saved with the network, and it is in no run on whose "
                "data it could be measured."
            )
        say("measuring the network's heads on training data, as nobody has yet")
        try:
            self._network.calibration = calibrate(self._network, build_component(data))
        except ThalwegError as fault:
            return f"There is no calibrated scale: {fault}."
        return ""

    def _without_condition(self) -> str:
        if self.facts.classes is None and self.facts.text is None:
            return "There is no classifier-free guidance: the network has neither classes nor captions."
        if not self.facts.condition_dropout:
            return "There is no classifier-free guidance: the network was trained with every condition shown."
        return ""

    def _first(self, choice: Choice) -> Choice:
        if not self.heads:
            return choice
        wanted = Head(choice.after, choice.form)
        head = wanted if wanted in self.heads else self.heads[0]
        calibrated = not self.uncalibrated and (
            choice.calibrated or choice.guidance not in ("internal", "both")
        )
        return attrs.evolve(choice, after=head.after, form=head.form, calibrated=calibrated)
