"""Verifies an evidence pack by itself: run `python3 verify.py` in its folder. It needs nothing but Python.

It is copied into every pack as it stands here; the desk never runs it.
"""

from __future__ import annotations

import hashlib
import json
import pathlib
import sys
from collections.abc import Iterator

HERE = pathlib.Path(__file__).resolve().parent
COVERED = (
    "payment_id",
    "refund_id",
    "sequence",
    "step",
    "from_status",
    "to_status",
    "actor",
    "actor_user_id",
    "source",
    "at",
    "text",
    "data",
    "heard",
    "correlation",
)


def main() -> None:
    wrong = [*files(), *chains(), *seals()]
    print("\n".join(wrong) or "Everything fits.")
    sys.exit(bool(wrong))


def files() -> Iterator[str]:
    """Every file is the one that was packed."""
    for line in HERE.joinpath("SHA256SUMS").read_text(encoding="utf-8").splitlines():
        digest, name = line.split("  ", 1)
        file = HERE.joinpath(name)
        if not file.is_file() or hashlib.sha256(file.read_bytes()).hexdigest() != digest:
            yield f"{name} is missing, or is not the file that was packed."


def chains() -> Iterator[str]:
    """Each line's digest covers the line and the digest before it."""
    for chain in json.loads(HERE.joinpath("journal.json").read_text())["chains"]:
        # What lies in an archive file is known here by the last line's number and digest.
        previous, last = "", 0
        for piece in chain["archived"]:
            if piece["first"] != last + 1 or piece["previous"] != previous:
                yield f"{chain['of']}: the archived lines from {piece['first']} on do not follow line {last}."
            previous, last = piece["digest"], piece["last"]
        for place, line in enumerate(chain["lines"], last + 1):
            said = json.dumps([previous, *(line[name] for name in COVERED)], sort_keys=True, separators=(",", ":"))
            if line["sequence"] != place or hashlib.sha256(said.encode()).hexdigest() != line["digest"]:
                yield f"{chain['of']}: line {place} is not what was written."
            previous = line["digest"]


def seals() -> Iterator[str]:
    """Each checkpoint's digest covers the one before and its lines. Compare it with the desk's own log, too."""
    journal = json.loads(HERE.joinpath("journal.json").read_text())
    ours = {line["line"]: line["digest"] for chain in journal["chains"] for line in chain["lines"]}
    for seal in json.loads(HERE.joinpath("checkpoints.json").read_text())["checkpoints"]:
        if seal["lines"] is None:
            continue  # too many to hand on, or not for whoever made the pack: verification.txt says what was found
        digest, sealed = hashlib.sha256(seal["previous"].encode()), {}
        for number, said in seal["lines"]:
            digest.update(f"\n{number} {said}".encode())
            sealed[number] = said
        if digest.hexdigest() != seal["digest"]:
            yield f"Checkpoint {seal['sequence']} does not fit its lines."
        for number in sorted(set(ours) & set(sealed)):
            if ours[number] != sealed[number]:
                yield f"Line {number} is not the one that checkpoint {seal['sequence']} has sealed."


if __name__ == "__main__":
    main()
