"""The sources: where items come from, page by page."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from retrofill.config import RunConfig
from retrofill.model.items import Item
from retrofill.model.runs import Window
from retrofill.sources.s3.source import Filter, S3Source
from retrofill.sources.source import Page, Partition, Source

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

__all__ = ["Page", "Partition", "Source", "open_source"]


def open_source(
    config: RunConfig,
    s3_client: "S3Client",
    window: Window,
    passes: Callable[[Item], bool] | None = None,
) -> Source:
    """Open the source that a run's configuration names.

    :param s3_client: asked by one thread at a time
    :param window: when an item must have been modified
    :param passes: tells whether the live trigger would send an item; None: it sends all
    """
    return S3Source(
        s3_client,
        bucket=config.bucket,
        prefix=config.prefix,
        wanted=Filter(
            key_glob=config.key_glob,
            min_size=config.min_size,
            max_size=config.max_size,
            window=window,
        ),
        versions=config.list_versions,
        passes=passes,
    )
