"""Files that people attach as evidence: what they may be, told by their content, and what they are called in a page."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import PurePath

from django.core.files.uploadedfile import UploadedFile
from django.utils.translation import gettext as _

from gateways import cards
from refunds.errors import BadInput

LARGEST_FILE = 5 * 1024 * 1024
LONGEST_NAME = 200
# A browser that guesses takes these for a page, whatever the file is called.
ACTIVE = re.compile(
    rb"<(!doctype|html|head|body|script|svg|iframe|object|embed|meta|link|style|img|a\s|\?xml|\?php|%)", re.IGNORECASE
)
ARCHIVE_AT_ITS_END = b"PK\x05\x06"
CONTROL = re.compile(rb"[\x00-\x08\x0e-\x1f\x7f]")


def is_pdf(content: bytes) -> bool:
    return content.startswith(b"%PDF-") and b"%%EOF" in content[-1024:]


def is_png(content: bytes) -> bool:
    return content.startswith(b"\x89PNG\r\n\x1a\n") and content.endswith(b"IEND\xaeB`\x82")


def is_jpeg(content: bytes) -> bool:
    return content.startswith(b"\xff\xd8\xff") and b"\xff\xd9" in content[-64:]


def is_text(content: bytes) -> bool:
    return not CONTROL.search(content)


KINDS: dict[str, Callable[[bytes], bool]] = {
    ".pdf": is_pdf,
    ".png": is_png,
    ".jpg": is_jpeg,
    ".jpeg": is_jpeg,
    ".txt": is_text,
    ".csv": is_text,
    ".eml": is_text,
}


def demand_evidence_file(file: UploadedFile) -> None:
    """Size, name and content fit together. Raises BadInput."""
    size, suffix = file.size or 0, PurePath(file.name or "").suffix.lower()
    if not size:
        raise BadInput(_("The file is empty."))
    if size > LARGEST_FILE:
        raise BadInput(_("The file is larger than %(largest)s MB.") % {"largest": LARGEST_FILE // 1024 // 1024})
    if suffix not in KINDS:
        raise BadInput(_("Evidence is a file of these kinds: %(kinds)s.") % {"kinds": ", ".join(KINDS)})
    content = file.read(LARGEST_FILE + 1)
    file.seek(0)
    if not KINDS[suffix](content):
        raise BadInput(
            _("The file is called %(suffix)s, but its content is not that of a %(suffix)s file.") % {"suffix": suffix}
        )
    # An e-mail may quote a page; it is a text that no browser opens.
    looked_at = content[:1024] if suffix != ".eml" else b""
    if ACTIVE.search(looked_at) or ARCHIVE_AT_ITS_END in content[-(64 * 1024) :]:
        raise BadInput(_("The file is two kinds of file at once, so it is not taken. Make a PDF or a picture of it."))


def shown_name(name: str) -> str:
    """What the file was called, without folders, signs that hide or turn text, and card numbers."""
    last = PurePath(name.replace("\\", "/")).name
    clean = "".join(sign for sign in last if sign.isprintable())  # neither marks nor control characters
    return cards.masked(clean).strip()[:LONGEST_NAME] or "evidence"
