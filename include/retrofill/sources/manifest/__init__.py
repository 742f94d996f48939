"""Manifests of objects: of S3 Batch Operations and Inventory, and any list of keys."""

from retrofill.aws.completion_report import REPORT
from retrofill.aws.objects import LEFT_OUT, measure
from retrofill.aws.payer import paying
from retrofill.events.s3.form import OBJECT
from retrofill.model.errors import ConfigError
from retrofill.model.permission import Permission
from retrofill.sources.files import open_files, parse_location
from retrofill.sources.kind import Opening, SourceKind
from retrofill.sources.manifest.params import PARAM, WRITINGS, ManifestParams
from retrofill.sources.manifest.reports import ListedFiles
from retrofill.sources.manifest.source import ManifestSource
from retrofill.sources.rows.params import names_in
from retrofill.sources.scanners.recognize import Asked


def _open(params: ManifestParams, opening: Opening) -> ManifestSource:
    session = opening.connections.aws(opening.aws_conn_id)
    client = paying(session.client("s3"), pays=params.requester_pays)
    location = parse_location(params.manifest, PARAM)
    if not params.manifest.endswith("manifest.json"):
        files = open_files(location, opening, requester_pays=params.requester_pays)
    elif location.bucket:
        files = ListedFiles(client, location)
    else:
        raise ConfigError(f"{PARAM}: a manifest.json is not allowed on a disk; give its S3 address")
    return ManifestSource(
        client,
        files,
        Asked(params.format, params.encoding, columns=names_in(params.columns) or None),
        bucket=params.bucket,
        writing=WRITINGS.get(params.keys_written),
        versions=params.list_versions,
        status=None if params.task_status == "all" else params.task_status,
        stop=params.on_malformed == "stop",
        passes=opening.passes,
        opened=opening.window.opened,
    )


_BUCKET = "arn:aws:s3:::my-photos"
_LISTS = "arn:aws:s3:::my-lists"

KIND = SourceKind(
    name="manifest",
    title="the objects that a manifest names",
    about="""Run a function over the objects that a manifest names.

A manifest is a file of keys: one of S3 Batch Operations or its completion report, an S3 Inventory,
or any CSV or JSON Lines file. Its objects are the same items as those of a listing of their bucket,
so a manifest and then a listing of what came since can be one job.""",
    params=ManifestParams,
    open=_open,
    form=OBJECT,
    measure=measure,
    report=REPORT,
    permissions=(
        Permission("s3:GetObject", f"{_LISTS}/*", "for manifests on S3"),
        Permission("s3:ListBucket", _LISTS, "for manifests of several files"),
        Permission("s3:GetObject", f"{_BUCKET}/*", "for manifests without size, time or ETag"),
        Permission("s3:ListBucket", _BUCKET, "for manifests without size, time or ETag"),
        Permission(
            "s3:GetObjectVersion", f"{_BUCKET}/*", "for `list_versions` and these manifests"
        ),
    ),
    left_out={
        **LEFT_OUT,
        "delete_marker": "named by the manifest as delete markers",
        "malformed": "in rows that cannot be read",
        "missing": "not in the bucket any more",
        "noncurrent": "versions that are not the current ones",
        "other_bucket": "in another bucket than the run's",
    },
)
