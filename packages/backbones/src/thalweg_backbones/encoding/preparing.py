"""Source, autoencoder and header of a job: what every process of it opens for itself."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import attrs
import torch
from torch import nn

from thalweg.config import component
from thalweg.data.shards import ShardHeader, ShardWriter, TeacherHeader, TextHeader
from thalweg.data.sources import source_of
from thalweg.data.sources.captions import captions_to_learn
from thalweg.errors import ConfigError, DataError
from thalweg.facts import Facts
from thalweg.plugins import build_component
from thalweg.plugins.recording import with_files
from thalweg.protocols import Autoencoder, PatchEncoder, Source, TextEncoder
from thalweg.storage import Location, redacted
from thalweg.storage.places import check_target
from thalweg.teachers import patch_encoder
from thalweg_backbones.autoencoder.identity import Identity
from thalweg_backbones.encoding.batches import ImageReader, Layout
from thalweg_backbones.encoding.columns import (
    CaptionColumns,
    Columns,
    PatchTokens,
    Posteriors,
    labels,
    pixels,
)
from thalweg_backbones.encoding.job import EncodingJob
from thalweg_backbones.encoding.recorder import ShardRecorder

CROP = "adm"


@attrs.frozen(eq=False)
class Prepared:
    """A job, opened.

    Attributes:
        target: the folder of shards.
        header: what all shards have in common.
        layout: what is stored in which shard.
        reader: reads images.
        columns: what is computed of them.
        encoder: of captions; None where none are stored.
    """

    target: Location
    header: ShardHeader
    layout: Layout
    reader: ImageReader
    columns: Sequence[Columns]
    encoder: TextEncoder | None = None

    def writer(self, *, accept_changed_data: bool = False) -> ShardWriter:
        """Writes shards beside those that are there.

        Args:
            accept_changed_data: as of :class:`thalweg.data.shards.ShardWriter`.

        Raises:
            DataError: if those are of another job, or the target cannot be written.
        """
        return ShardWriter(
            self.target,
            self.header,
            shard_samples=self.layout.shard_samples,
            accept_changed_data=accept_changed_data,
        )

    def recorder(self) -> ShardRecorder:
        """Encodes shards."""
        return ShardRecorder(self.layout, self.reader, self.columns, self.writer().write_shard)

    def write_empty(self, writer: ShardWriter) -> None:
        """Write the encoder's empty caption, where captions are stored and it is not there yet."""
        if self.encoder is None or self.header.text is None or writer.has_empty:
            return
        empty = self.encoder([""])
        tokens_LE = empty.tokens[0].to("cpu", getattr(torch, self.header.text.dtype))
        writer.write_empty(tokens_LE, empty.mask[0].cpu())


def prepare(job: EncodingJob, device: str, header: ShardHeader | None = None) -> Prepared:
    """Open source, autoencoder and teachers.

    Args:
        job: what is to be encoded.
        device: where.
        header: what another process found out of the same job; made here by default.

    Raises:
        ConfigError: if the autoencoder cannot encode images of this size, or a teacher has no such grid.
        DataError: if the source holds no images or has changed since the header was made, or weights are
            missing or damaged.
    """
    check_target(job.target, "the folder of shards")
    source = source_of(job.source, storage_options=job.storage_options, **job.source_options)
    if not len(source):
        raise DataError(f"{redacted(job.source)} holds no images; give a source that does")
    stated = component("autoencoder", dict(job.autoencoder))
    autoencoder: Autoencoder = build_component(stated)
    place = torch.device(device)
    if isinstance(autoencoder, nn.Module):
        autoencoder.to(place)
    channels, shape = _shape(job, autoencoder, source)
    grid = _grid(job, shape)
    teachers, encoder = _teachers(job, shape, grid, place), _text_encoder(job, source, place)
    if header is None:
        identity = with_files(autoencoder.identity, autoencoder, stated)
        header = _header(job, source, autoencoder, shape, identity)
        text = None if encoder is None else _text_header(encoder, source)
        header = attrs.evolve(header, teachers=_described(teachers, grid), text=text)
    if len(source) != header.count:
        raise DataError(
            f"{redacted(job.source)} held {header.count} images a moment ago and holds {len(source)} now; "
            "leave it as it is while it is encoded"
        )
    seen: Columns = pixels
    if header.kind == "posterior":
        seen = Posteriors(autoencoder, place, flips=job.flips, dtype=getattr(torch, job.dtype))
    samples = job.shard_samples or header.samples_per_shard()
    return Prepared(
        target=Location(job.target, job.storage_options),
        header=header,
        layout=Layout(header.count, samples, job.batch_size, job.seed, getattr(source, "blocks", None)),
        reader=ImageReader(source, job.size, channels, pinned=place.type == "cuda"),
        columns=[
            seen,
            labels,
            *(PatchTokens(teacher, place, grid, flips=job.flips) for teacher in teachers.values()),
            *([] if encoder is None or header.text is None else [CaptionColumns(encoder, header.text)]),
        ],
        encoder=encoder,
    )


def _shape(job: EncodingJob, autoencoder: Autoencoder, source: Source) -> tuple[int, tuple[int, int, int]]:
    """Channels of the images, and the shape of what the autoencoder makes of them."""
    if job.channels is None and source[0].image.shape[2] == 1:
        # Where it takes no grey images, they come in colour, with three equal channels.
        with suppress(ConfigError):
            return 1, autoencoder.shape(1, job.size, job.size)
    channels = job.channels or 3
    return channels, autoencoder.shape(channels, job.size, job.size)


def _header(
    job: EncodingJob,
    source: Source,
    autoencoder: Autoencoder,
    shape: tuple[int, int, int],
    identity: Mapping[str, Any],
) -> ShardHeader:
    # As bytes pixels are exact, and a quarter of what float32 takes.
    pixels = isinstance(autoencoder, Identity)
    return ShardHeader(
        kind="pixels" if pixels else "posterior",
        count=len(source),
        shape=shape,
        dtype="uint8" if pixels else job.dtype,
        autoencoder=identity,
        scale=autoencoder.scale,
        classes=source.classes,
        class_names=source.class_names,
        flips=job.flips,
        size=job.size,
        crop=CROP,
        source=source.identity,
        contents=getattr(source, "contents", None),
        seed=job.seed,
        attribution=getattr(source, "attribution", ""),
        held_out=tuple(getattr(source, "held_out", ())),
    )


def _grid(job: EncodingJob, shape: tuple[int, int, int]) -> tuple[int, int]:
    if job.grid is not None:
        return (job.grid, job.grid)
    if job.teachers and (shape[1] % 2 or shape[2] % 2):
        raise ConfigError(
            f"{shape[1]} x {shape[2]} samples have no patches of 2, for which teachers' features would be "
            "stored; give the tokens a side as --grid"
        )
    return (shape[1] // 2, shape[2] // 2)


def _teachers(
    job: EncodingJob, shape: tuple[int, int, int], grid: tuple[int, int], place: torch.device
) -> Mapping[str, PatchEncoder]:
    """The teachers by name, each tried on one image, so that nothing is written if that cannot be."""
    found: dict[str, PatchEncoder] = {}
    for options in job.teachers:
        config = component("vision_encoder", dict(options), slot="teacher")
        teacher = patch_encoder(build_component(config, Facts(shape=shape, grid=grid)))
        if teacher.name in found:
            raise ConfigError(f"there are two teachers {teacher.name}; store the features of one")
        if isinstance(teacher, nn.Module):
            teacher.to(place)
        teacher.patch_tokens(torch.zeros(1, 3, job.size, job.size, dtype=torch.uint8, device=place), grid)
        found[teacher.name] = teacher
    return found


def _described(teachers: Mapping[str, PatchEncoder], grid: tuple[int, int]) -> dict[str, TeacherHeader]:
    return {name: TeacherHeader(one.patch_identity, grid, one.width) for name, one in teachers.items()}


def _text_encoder(job: EncodingJob, source: Source, place: torch.device) -> TextEncoder | None:
    """Load it to its device; None where captions are not stored."""
    if job.text is None:
        return None
    if not source.captioned:
        raise DataError(
            f"{redacted(job.source)} has no captions, which are to be encoded; give a source that has, or "
            "leave --text out"
        )
    encoder: TextEncoder = build_component(component("text_encoder", dict(job.text)))
    if isinstance(encoder, nn.Module):
        encoder.to(place)
    return encoder


def _text_header(encoder: TextEncoder, source: Source) -> TextHeader:
    """Room for the captions of the image that has the most."""
    most = max(map(len, captions_to_learn(source)))
    return TextHeader(encoder.identity, encoder.length, encoder.width, captions=max(most, 1))
