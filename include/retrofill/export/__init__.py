"""Report files: the result of each item, in files for scripts and auditors."""

from retrofill.export.report import export_job, export_run
from retrofill.export.stores import PARAM, ROOT, Store, open_store
from retrofill.model.destination import Destination
from retrofill.model.report_files import ReportRequest, WrittenReport

__all__ = [
    "PARAM",
    "ROOT",
    "Destination",
    "ReportRequest",
    "Store",
    "WrittenReport",
    "export_job",
    "export_run",
    "open_store",
]
