"""Report files: the result of each item, in files for scripts and auditors."""

from retrofill.export.report import export_job, export_run
from retrofill.export.stores import PARAM, ROOT, Store, open_store
from retrofill.model.destination import Destination
from retrofill.model.report_files import Asked, Written

__all__ = [
    "PARAM",
    "ROOT",
    "Asked",
    "Destination",
    "Store",
    "Written",
    "export_job",
    "export_run",
    "open_store",
]
