"""S3 as a source: the objects of a bucket, as listed."""

from retrofill.aws.completion_report import REPORT
from retrofill.aws.objects import LEFT_OUT, measure
from retrofill.aws.payer import paying
from retrofill.events.s3.form import OBJECT
from retrofill.model.cost import ListingPrice
from retrofill.model.permission import Permission
from retrofill.sources.kind import Opening, SourceKind
from retrofill.sources.s3.params import S3Params
from retrofill.sources.s3.source import Filter, S3Source


def _open(params: S3Params, opening: Opening) -> S3Source:
    return S3Source(
        paying(
            opening.connections.aws(opening.aws_conn_id).client("s3"), pays=params.requester_pays
        ),
        bucket=params.bucket,
        prefix=params.prefix,
        wanted=Filter(
            key_glob=params.key_glob,
            min_size=params.min_size,
            max_size=params.max_size,
            window=opening.window,
        ),
        versions=params.list_versions,
        passes=opening.passes,
    )


_BUCKET = "arn:aws:s3:::my-photos"

KIND = SourceKind(
    name="s3",
    title="the objects of an S3 bucket",
    about="""Run a function over the objects that an S3 bucket already holds.

Name a bucket and a function. Each existing object becomes one call of that function, with the event
that its live trigger would send. Retrofill remembers processed objects: the same run again makes no
call.""",
    params=S3Params,
    open=_open,
    form=OBJECT,
    measure=measure,
    report=REPORT,
    listing=ListingPrice(1_000, 5e-6, "LIST at $0.005 per 1,000, as in us-east-1 in October 2025"),
    lists_changes=True,
    permissions=(
        Permission("s3:ListBucket", _BUCKET, ""),
        Permission("s3:ListBucketVersions", _BUCKET, "for `list_versions`"),
    ),
    left_out=LEFT_OUT,
)
