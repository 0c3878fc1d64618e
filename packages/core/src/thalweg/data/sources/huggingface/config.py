"""Images in a data set of the library ``datasets``: saved by it, in files that it reads, or on the Hub.

The library is an extra. Images are read as files, and decoded as those of every source are.
"""

import attrs
from attrs.validators import and_, ge, gt, le, min_len, optional

from thalweg.config import url_field
from thalweg.data.decoding import LIMIT_PIXELS, MOST_PIXELS
from thalweg.data.sources.huggingface.mapped import RowImages
from thalweg.data.sources.huggingface.opening import DataSetPlace, opened
from thalweg.data.sources.huggingface.rows import Columns
from thalweg.data.sources.huggingface.streamed import RowShards
from thalweg.data.sources.sharded import ShardedImages
from thalweg.errors import ConfigError
from thalweg.facts import MOST_CLASSES
from thalweg.storage import default_cache

_GIB = 2**30


@attrs.frozen
class HuggingFaceConfig:
    """A data set of Hugging Face's ``datasets``; needs the extra ``datasets``.

    It is a folder that ``Dataset.save_to_disk`` wrote; a folder of files that ``load_dataset`` reads,
    Parquet, Arrow or images; or, stated as such, a name on the Hub, of which what datasets' own cache holds
    is read and nothing is fetched unless ``download`` is set. No code of a data set is ever run.

    Attributes:
        url: the folder, on this machine; none for a data set on the Hub.
        hub: its name on the Hub, such as ``ylecun/mnist``; none for a folder.
        download: let datasets fetch from the Hub what is not in its cache; with ``stream``, shard by shard.
        revision: commit of the Hub's repository; none for the newest, or for what the cache holds.
        subset: which of the data set's configurations, as it calls them; none for the only one.
        split: ``train``, ``test`` and so on.
        image: column of the images.
        label: column of the classes; none for no labels.
        caption: column of the captions, a text or a list of texts in each row; none for no captions.
        classes: number of classes; none for those of the column's ``ClassLabel``, or for one more than the
            largest number in it.
        stream: read shard by shard, each written to the cache when its turn comes.
        cache_gib: with ``stream``, what shards may take of the local disk.
        limit_pixels: height times width above which an image is refused.
    """

    url: str | None = url_field(None)
    hub: str | None = attrs.field(default=None, validator=optional(min_len(1)))
    download: bool = False
    revision: str | None = None
    subset: str | None = None
    split: str = attrs.field(default="train", validator=min_len(1))
    image: str = attrs.field(default="image", validator=min_len(1))
    label: str | None = None
    caption: str | None = None
    classes: int | None = attrs.field(default=None, validator=optional(and_(ge(1), le(MOST_CLASSES))))
    stream: bool = False
    cache_gib: float = attrs.field(default=64.0, validator=[gt(0.0), le(2.0**20)])
    limit_pixels: int = attrs.field(default=LIMIT_PIXELS, validator=[ge(1), le(MOST_PIXELS)])

    def build(self) -> RowImages | ShardedImages:
        """Open the data set.

        Raises:
            PluginError: if the package datasets is missing.
            DataError: if there is no such data set, split or column, or one holds something else.
            ConfigError: if settings do not go together, or a stream has labels of which nobody says how many
                classes there are.
        """
        self._check()
        place = DataSetPlace(self.url, self.hub, self.download, self.revision, self.subset, self.split)
        columns = Columns(self.image, self.label, self.caption, self.limit_pixels)
        if self.stream:
            cache = default_cache(int(self.cache_gib * _GIB))
            return RowShards(place, columns, cache).source(self.classes)
        return RowImages(opened(place), columns, self.split, self.classes)

    def _check(self) -> None:
        if (self.url is None) == (self.hub is None):
            raise ConfigError("give either 'url', a folder of a data set, or 'hub', its name on the Hub")
        if self.url is not None and (self.download or self.revision is not None):
            raise ConfigError(
                "'download' and 'revision' are of a data set on the Hub; give its name as 'hub'"
            )
        if self.classes is not None and self.label is None:
            raise ConfigError("'classes' counts the labels of a column; name it as 'label'")
