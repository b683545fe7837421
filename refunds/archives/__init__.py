"""What is over and old moves into files; what is left here goes on being history, and shows who touches either."""

from refunds.archives.check import flaws_of_files, rows_of, strays
from refunds.archives.files import folder_or_refuse
from refunds.archives.run import Would, archive, would_archive

__all__ = ["Would", "archive", "flaws_of_files", "folder_or_refuse", "rows_of", "strays", "would_archive"]
