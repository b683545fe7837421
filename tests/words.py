"""`make words`: find what the desk says, put it into the catalogues, and tell what nobody has translated yet."""

from __future__ import annotations

import shutil
import subprocess
import sys
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory

from babel.messages.catalog import Catalog
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po

ROOT = Path(__file__).resolve().parent.parent
LOCALE = ROOT / "locale"
SAID_IN = ("gateways", "refunds", "refunds_site", "templates")
MISSING = "No xgettext: what the desk says was not compared with its catalogues. Install gettext."
EXTRACT = ("makemessages", "--all", "--no-wrap", "--add-location", "file", "--verbosity", "0")


def languages() -> list[str]:
    """Those with a catalogue; English is the source and needs none."""
    return sorted(folder.name for folder in LOCALE.iterdir() if (folder / "LC_MESSAGES/django.po").is_file())


def catalogue(language: str, locale: Path = LOCALE) -> Catalog:
    with (locale / language / "LC_MESSAGES/django.po").open("rb") as file:
        return read_po(file, locale=language)


def can_extract() -> bool:
    return shutil.which("xgettext") is not None


def extracted(folder: Path) -> Path:
    """The catalogues as they would be now, made in a copy; returns their `locale`."""
    for name in (*SAID_IN, "locale"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "*.mo"))
    subprocess.run([sys.executable, "-m", "django", *EXTRACT], cwd=folder, check=True, stdout=subprocess.DEVNULL)
    return folder / "locale"


def ids(found: Catalog) -> set[tuple[str | None, str]]:
    return {(one.context, _first(one.id)) for one in found if one.id}


def untranslated(found: Catalog) -> list[str]:
    """What has no words, or only some of its plural forms, or words that somebody still has to look at."""
    return [_first(one.id) for one in found if one.id and (one.fuzzy or not one.string or not all(_forms(one.string)))]


def compiled(found: Catalog) -> bytes:
    """As Django reads it. Babel does it, so that nobody but an author of words needs gettext's tools."""
    file = BytesIO()
    write_mo(file, found)
    return file.getvalue()


def _first(id: str | tuple[str, ...]) -> str:
    return id if isinstance(id, str) else id[0]


def _forms(string: str | tuple[str, ...]) -> tuple[str, ...]:
    return (string,) if isinstance(string, str) else string


def main() -> None:
    if not can_extract():
        sys.exit(MISSING)
    n_missing = 0
    with TemporaryDirectory() as folder:
        new = extracted(Path(folder))
        for language in languages():
            before, after = catalogue(language), catalogue(language, new)
            path = LOCALE / language / "LC_MESSAGES/django.po"
            shutil.copyfile(new / path.relative_to(LOCALE), path)
            path.with_suffix(".mo").write_bytes(compiled(after))
            missing = untranslated(after)
            n_missing += len(missing)
            print(f"{language}: {len(ids(after) - ids(before))} new, {len(missing)} without words")
            for text in missing:
                print(f"  {text}")
    sys.exit(1 if n_missing else 0)


if __name__ == "__main__":
    main()
