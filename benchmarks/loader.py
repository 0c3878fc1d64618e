"""Reading latent shards: against raw mapped reading, against a file per sample, and from S3 on loopback.

Posteriors of 4x32x32 in float32, batches of 256 in the shuffled order of training. Checksums are on: every
shard is compared with its SHA-256 before it is first used, which is timed by itself in (1) and (2), since it
is done once a run, and lies within the time of (3).

1. Bytes: what the loader copies out of the shards (mean, std, labels), in one thread, against numpy's fancy
   indexing into np.memmap of the same rows in the same order of batches; and besides, without a target, all
   of the loader with two threads, which also draws the latents.
2. Samples: all of the loader against one .npy per sample read by torch's DataLoader, with as many workers as
   we have threads, and the draw on whole batches afterwards, as the papers' code does it.
3. Bytes over S3: all shards into an empty cache on disk, compared with their SHA-256 and opened, against
   boto3's plain GET requests of the same objects, as many at once, whose bytes are thrown away; and besides,
   without a target, against s3fs and bare HTTP requests, and the loader's first epoch with its draws. The
   server takes its share of the processor in each.
"""

from common import Verdict, alternately  # isort: skip

import argparse
import http.client
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
import numpy as np
import s3fs
import torch
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset

from thalweg.data.order import indices
from thalweg.data.prefetch import Prefetcher
from thalweg.data.shards import ShardHeader, ShardWriter
from thalweg.data.shards.dataset import ShardsConfig, held_out
from thalweg.data.shards.index import shard_name
from thalweg.data.shards.split import ShardSplit, gather
from thalweg.data.shards.store import ShardStore
from thalweg.randomness import generator
from thalweg.storage import Location

SHAPE, BATCH, THREADS, HELD_OUT = (4, 32, 32), 256, 2, 256
OF_RAW, OF_FILES, OF_GET = 0.9, 5.0, 0.7
MIB = 2**20
SERVER = """
import logging, sys
logging.getLogger("werkzeug").setLevel(logging.ERROR)
from moto.server import ThreadedMotoServer
server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
server.start()
print(server.get_host_and_port()[1], flush=True)
sys.stdin.read()
"""


def store_shards(target: Location, count: int, shard_samples: int) -> None:
    head = ShardHeader(
        kind="posterior", count=count, shape=SHAPE, dtype="float32", classes=1000,
        autoencoder={"type": "noise"}, scale=0.18215,
    )  # fmt: skip
    writer = ShardWriter(target, head, shard_samples=shard_samples)
    for number in range(writer.shards):
        held, draws = writer.samples(number), generator(0, "benchmark", number)
        mean = torch.randn(len(held), *SHAPE, generator=draws)
        std = torch.rand(len(held), *SHAPE, generator=draws)
        labels = torch.randint(1000, (len(held),), generator=draws)
        writer.write_shard(number, {"mean": mean, "std": std, "labels": labels})
    writer.finish()


def config(url: str, **options: object) -> ShardsConfig:
    return ShardsConfig(url=url, validation=HELD_OUT, **options)


def order(split: ShardSplit) -> list[list[int]]:
    """The batches of the first epoch."""
    steps = len(split) // BATCH
    return [indices(0, step, BATCH, len(split), blocks=split.blocks) for step in range(steps)]


def loader(split: ShardSplit, epoch: list[list[int]]) -> Iterator[torch.Tensor]:
    """As training reads: ahead, in threads, each batch drawn from its own generator."""

    def read(step: int) -> torch.Tensor:
        return split.batch(epoch[step], generator(0, "data", step)).clean

    def upcoming(step: int) -> None:
        split.upcoming(epoch[step])

    steps = len(epoch)
    with Prefetcher(
        read, depth=2 * THREADS, workers=THREADS, stop=steps, upcoming=upcoming, reach=64
    ) as ahead:
        for step in range(steps):
            yield ahead.get(step)


def exhaust(batches: Iterator[torch.Tensor]) -> None:
    for _ in batches:
        pass


class Raw:
    """np.memmap and fancy indexing, with nothing around it."""

    def __init__(self, folder: Path, store: ShardStore) -> None:
        self.parts = []
        for number, entry in enumerate(store.index.shards):
            offset = entry.bytes - entry.count * (2 * 4 * int(np.prod(SHAPE)) + 8)
            mapped = np.memmap(folder / shard_name(number), mode="r", offset=offset, dtype=np.uint8)
            # The order of safetensors: labels first, as the widest type, then mean and std.
            labels = mapped[: 8 * entry.count].view(np.int64)
            both = mapped[8 * entry.count :].view(np.float32).reshape(2, entry.count, *SHAPE)
            self.parts.append((np.asarray(both[0]), np.asarray(both[1]), np.asarray(labels)))

    def read(self, shards: np.ndarray, rows: np.ndarray) -> list[tuple[np.ndarray, ...]]:
        """Of each shard the rows of a batch; not put into the order of the batch."""
        return [
            tuple(part[rows[shards == number]] for part in self.parts[number]) for number in np.unique(shards)
        ]


def against_raw(folder: Path, rounds: int, verdict: Verdict) -> None:
    train = config(str(folder)).build().train
    store = train._store
    begun = time.perf_counter()
    for number in range(len(store.index.shards)):
        store.open(number)
    checked = time.perf_counter() - begun
    total = store.index.total_bytes
    print(f"comparing {total / MIB:.0f} MiB with their SHA-256, once a run: {checked:.3f} s")
    raw, epoch = Raw(folder, store), order(train)
    places = [(train._shards[np.array(batch)], train._rows[np.array(batch)]) for batch in epoch]
    upright = np.zeros(BATCH, dtype=bool)

    def ours(place: tuple[np.ndarray, np.ndarray]) -> dict[str, np.ndarray]:
        return gather(store.open, store.index.header, *place, upright, prepare=store.prepare)[0]

    for place in places[:3]:
        theirs = [np.concatenate(parts) for parts in zip(*raw.read(*place), strict=True)]
        mine = ours(place)
        for name, other in zip(("mean", "std", "labels"), theirs, strict=True):
            assert np.array_equal(mine[name], other), name

    seconds = alternately(
        {
            "raw": lambda: [raw.read(*place) and None for place in places],
            "bytes": lambda: [ours(place) and None for place in places],
            "loader": lambda: exhaust(loader(train, epoch)),
        },
        rounds,
    )
    copied = len(epoch) * BATCH * (2 * 4 * np.prod(SHAPE) + 8) / MIB
    for name, taken in seconds.items():
        print(f"  {name:7} {copied / taken:9.0f} MiB/s  {1e3 * taken / len(epoch):6.2f} ms a batch")
    verdict.at_least("local shards: bytes a second, share of raw", seconds["raw"] / seconds["bytes"], OF_RAW)
    share = seconds["raw"] / seconds["loader"]
    print(f"        with {THREADS} threads and the draws of 2^20 normal numbers a batch: {share:.3g} of raw")


class Files(TorchDataset[tuple[torch.Tensor, int]]):
    """One .npy a sample: mean and std."""

    def __init__(self, folder: Path) -> None:
        self.paths = sorted(str(path) for path in folder.glob("*.npy"))

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        return torch.from_numpy(np.load(self.paths[index])), index % 1000


def against_files(folder: Path, rounds: int, verdict: Verdict) -> None:
    train = config(str(folder)).build().train
    epoch = order(train)
    with tempfile.TemporaryDirectory(dir=folder.parent) as files:
        for number, entry in enumerate(train._store.index.shards):
            arrays = train._store.open(number)
            for row in range(entry.count):
                both = np.concatenate([arrays["mean"][row], arrays["std"][row]])
                np.save(Path(files) / f"{number:05d}-{row:05d}.npy", both)
        dataset = Files(Path(files))
        workers = DataLoader(
            dataset, BATCH, shuffle=True, num_workers=THREADS, drop_last=True, persistent_workers=True,
            generator=torch.Generator().manual_seed(0),
        )  # fmt: skip

        def one_by_one() -> Iterator[torch.Tensor]:
            for both, _ in workers:
                mean, std = both.chunk(2, dim=1)
                yield (mean + std * torch.randn_like(mean)) * 0.18215

        # A round before any is timed, so that worker processes stand and pages are in memory.
        exhaust(one_by_one())
        exhaust(loader(train, epoch))
        seconds = alternately(
            {"files": lambda: exhaust(one_by_one()), "shards": lambda: exhaust(loader(train, epoch))}, rounds
        )
        rates = {
            "files": len(workers) * BATCH / seconds["files"],
            "shards": len(epoch) * BATCH / seconds["shards"],
        }
        del workers
    for name, rate in rates.items():
        print(f"  {name:7} {rate:9.0f} samples/s")
    verdict.at_least(
        "local shards: samples a second, times a file per sample", rates["shards"] / rates["files"], OF_FILES
    )


@contextmanager
def s3_server() -> Iterator[int]:
    with subprocess.Popen(
        [sys.executable, "-c", SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            yield int(process.stdout.readline())
        finally:
            process.communicate("")


def bare_get(port: int, path: str) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port)
    connection.request("GET", path)
    answer = connection.getresponse()
    assert answer.status == 200, answer.status
    size = 0
    while piece := answer.read(MIB):
        size += len(piece)
    connection.close()
    return size


def boto_get(client: Any, key: str) -> int:
    body = client.get_object(Bucket="bucket", Key=key)["Body"]
    size = 0
    while piece := body.read(MIB):
        size += len(piece)
    return size


def against_get(count: int, shard_samples: int, rounds: int, verdict: Verdict) -> None:
    with s3_server() as port, tempfile.TemporaryDirectory() as scratch:
        options = {"key": "benchmark", "secret": "benchmark", "endpoint_url": f"http://127.0.0.1:{port}"}
        connection = http.client.HTTPConnection("127.0.0.1", port)
        connection.request("PUT", "/bucket")
        assert connection.getresponse().status == 200
        url = "s3://bucket/set"
        store_shards(Location(url, options), count, shard_samples)
        caches = iter(range(10**6))

        def fresh() -> ShardSplit:
            os.environ["XDG_CACHE_HOME"] = str(Path(scratch) / str(next(caches)))
            return config(url, storage_options=options).build().train

        def shards() -> None:
            store = fresh()._store
            with ThreadPoolExecutor(THREADS) as pool:
                list(pool.map(store.open, range(len(store.index.shards))))

        def epoch() -> None:
            train = fresh()
            exhaust(loader(train, order(train)))

        index = config(url, storage_options=options).build().train._store.index
        client = boto3.client(
            "s3", endpoint_url=options["endpoint_url"], region_name="us-east-1",
            aws_access_key_id=options["key"], aws_secret_access_key=options["secret"],
        )  # fmt: skip
        keys = [f"set/{shard_name(number)}" for number in range(len(index.shards))]
        # Signed beforehand; the server refuses others.
        signed = [
            client.generate_presigned_url("get_object", {"Bucket": "bucket", "Key": key}).split(str(port))[1]
            for key in keys
        ]

        files = s3fs.S3FileSystem(**options, skip_instance_cache=True)

        def raw(one: Callable[[str], int], names: list[str]) -> None:
            with ThreadPoolExecutor(THREADS) as pool:
                assert sum(pool.map(one, names)) == index.total_bytes

        seconds = alternately(
            {
                "s3fs": lambda: raw(lambda key: len(files.cat_file(f"bucket/{key}")), keys),
                "boto3": lambda: raw(lambda key: boto_get(client, key), keys),
                "bare": lambda: raw(lambda path: bare_get(port, path), signed),
                "shards": shards,
                "loader": epoch,
            },
            rounds,
        )
    for name, taken in seconds.items():
        print(f"  {name:7} {index.total_bytes / MIB / taken:9.0f} MiB/s")
    shares = {name: taken / seconds["shards"] for name, taken in seconds.items()}
    print(f"        {shares['s3fs']:.3g} of s3fs, {shares['bare']:.3g} of bare HTTP requests")
    verdict.at_least("S3 shards: bytes a second, share of GET by boto3", shares["boto3"], OF_GET)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--mib", type=int, default=1024, help="size of the set")
    parser.add_argument("--shard-mib", type=int, default=64, help="size of a shard")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    sample = 2 * 4 * int(np.prod(SHAPE)) + 8
    count, shard_samples = options.mib * MIB // sample, options.shard_mib * MIB // sample
    assert len(held_out(count, shard_samples, HELD_OUT)) == HELD_OUT
    verdict = Verdict()
    print(f"{count} samples in shards of {shard_samples}, {torch.get_num_threads()} threads in torch")
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "shards"
        store_shards(Location(folder), count, shard_samples)
        against_raw(folder, options.rounds, verdict)
        against_files(folder, options.rounds, verdict)
    against_get(count, shard_samples, options.rounds, verdict)
    verdict.exit()


if __name__ == "__main__":
    main()
