"""Parts of report files."""

import csv
import io

from retrofill.export.parts import CsvPart, Digested, Table
from retrofill.model.report_files import ReportedItem, ReportForm


def test_csv_is_read_back_unchanged() -> None:
    texts = ["10 %\r100 %", "a\r\nb", "a\nb", '"', ",", "", "=1"]
    file = io.BytesIO()
    part = CsvPart(Digested(file), Table(ReportForm(), {}, details=False))
    told = ReportedItem("k", "", "", "failed", "E", "", 1, False, 1, None, None, None)  # noqa: FBT003
    part.write([told._replace(error=text) for text in texts])
    rows = csv.reader(io.StringIO(file.getvalue().decode(), newline=""), strict=True)
    assert [row[3] for row in rows] == ["Error", *texts]
    assert file.getvalue().endswith(b"=1\n")
