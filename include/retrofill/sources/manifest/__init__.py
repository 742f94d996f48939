"""Manifests of objects: of S3 Batch Operations and Inventory, and any list of keys."""

from retrofill.model.errors import ConfigError
from retrofill.model.permission import Permission
from retrofill.sources.files import open_files, parse_location
from retrofill.sources.kind import Opening, SourceKind
from retrofill.sources.manifest.params import PARAM, WRITINGS, ManifestParams
from retrofill.sources.manifest.reports import ListedFiles
from retrofill.sources.manifest.source import ManifestSource
from retrofill.sources.rows.params import names_in
from retrofill.sources.scanners.recognise import Asked


def _open(params: ManifestParams, opening: Opening) -> ManifestSource:
    client = opening.connections.aws(opening.aws_conn_id).client("s3")
    location = parse_location(params.manifest, PARAM)
    if not params.manifest.endswith("manifest.json"):
        files = open_files(location, opening)
    elif location.bucket:
        files = ListedFiles(client, location)
    else:
        raise ConfigError(f"{PARAM}: a manifest.json is read where S3 has written it, on S3")
    return ManifestSource(
        client,
        files,
        Asked(
            format=params.format,
            encoding=params.encoding,
            columns=names_in(params.columns) or None,
        ),
        bucket=params.bucket,
        writing=WRITINGS.get(params.keys_written),
        versions=params.list_versions,
        status=None if params.task_status == "all" else params.task_status,
        stop=params.on_malformed == "stop",
        passes=opening.passes,
    )


KIND = SourceKind(
    name="manifest",
    title="the objects that a manifest names",
    params=ManifestParams,
    open=_open,
    form="object",
    permissions=(
        Permission("s3:GetObject", "the manifest's files", ""),
        Permission("s3:GetObject", "the objects", "manifests without size, time or ETag"),
        Permission("s3:ListBucket", "the bucket", "manifests without size, time or ETag"),
        Permission("s3:GetObjectVersion", "the objects", "list_versions"),
    ),
    left_out={
        "archived": "In an archive (GLACIER, DEEP_ARCHIVE), where no function can read them",
        "delete_marker": "Delete markers, which are no objects",
        "malformed": "Rows that cannot be read",
        "missing": "Named by the manifest, but not in the bucket any more",
        "noncurrent": "Versions that are not the current ones",
        "other_bucket": "In another bucket than the run's",
        "rejected": "Under a key that the state cannot hold",
    },
)
