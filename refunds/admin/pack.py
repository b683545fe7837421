"""The evidence pack of a refund: one ZIP with all that is known of it, made by a POST of those who may export."""

from __future__ import annotations

import hashlib
import logging
import tempfile
import zipfile
from collections.abc import Iterable
from pathlib import PurePath
from typing import IO

from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import PermissionDenied
from django.http import FileResponse, Http404
from django.urls import URLPattern, path
from django.utils import timezone
from django.views.decorators.http import require_POST

from refunds import policy
from refunds.admin.desk import DeskRequest, OwnPage
from refunds.admin.pack_files import Packer
from refunds.models import Refund

log = logging.getLogger(__name__)

SUMS = "SHA256SUMS"
CHUNK = 64 * 1024


def urls(screen: OwnPage) -> list[URLPattern]:
    @require_POST
    def view(request: DeskRequest, pk: int) -> FileResponse:
        return pack_view(screen, request, pk)

    return [path("<int:pk>/pack/", screen.admin_site.admin_view(view), name="refunds_refund_pack")]


def pack_view(screen: OwnPage, request: DeskRequest, pk: int) -> FileResponse:
    refund = screen.get_object(request, str(pk))
    if refund is None:
        raise Http404
    if not screen.has_view_permission(request, refund) or not policy.may(request.user, policy.EXPORT):
        raise PermissionDenied
    packer = Packer(refund, request.user)
    file = written(packer.files(), f"{refund.number}-evidence")
    _note(request, refund, packer)
    return FileResponse(
        file, as_attachment=True, filename=f"{refund.number}-evidence.zip", content_type="application/zip"
    )


def written(files: Iterable[tuple[str, Iterable[bytes]]], folder: str) -> IO[bytes]:
    """A ZIP on the disk that is gone once it is closed; files go there piece by piece, and their digests last."""
    made = timezone.now().timetuple()[:6]
    sums = []
    target = tempfile.TemporaryFile()  # noqa: SIM115  the answer closes it
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as pack:
        for name, content in files:
            digest = hashlib.sha256()
            with pack.open(_entry(f"{folder}/{name}", made), "w", force_zip64=True) as entry:
                for piece in content:
                    digest.update(piece)
                    entry.write(piece)
            sums.append(f"{digest.hexdigest()}  {name}\n")
        pack.writestr(_entry(f"{folder}/{SUMS}", made), "".join(sums))
    target.seek(0)
    return target


def _entry(name: str, made: tuple[int, ...]) -> zipfile.ZipInfo:
    assert ".." not in PurePath(name).parts
    entry = zipfile.ZipInfo(name, made)  # type: ignore[arg-type]
    entry.compress_type = zipfile.ZIP_DEFLATED
    entry.external_attr = 0o644 << 16
    return entry


def _note(request: DeskRequest, refund: Refund, packer: Packer) -> None:
    """Who took it out of the house: in the log, and among the recent actions of the person."""
    said = f"made the evidence pack, {'with' if packer.raw else 'without'} raw exchanges"
    log.info("%s %s of %s", request.user, said, refund)
    LogEntry.objects.create(
        user=request.user,
        content_type=ContentType.objects.get_for_model(Refund),
        object_id=str(refund.pk),
        object_repr=str(refund),
        action_flag=CHANGE,
        change_message=said,
    )
