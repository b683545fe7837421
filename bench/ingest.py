"""Webhooks per second: verified, deduplicated and applied, through the production server on PostgreSQL.

Beside it, in the same run: a view of the same site that does one INSERT, the very SQL of a webhook by pgbench, and the
webhook views of dj-stripe and django-getpaid.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from bench import ground, peers
from bench.load import Letter, Load, post_all

ROUNDS, EACH = 4, int(os.environ.get("BENCH_LETTERS", "1500"))
CALLERS = 8
WARM = 200
WEBHOOK = "/webhooks/payerly-eu/"
HISTORY = 20_000
NUMBER = 10_001  # of the refund whose webhook pgbench repeats


def run(server: ground.Databases) -> dict[str, Any]:
    n_letters = WARM + ROUNDS * EACH
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        environment = ground.site(server.make("bench_ingest"))
        file = Path(folder) / "letters.jsonl"
        ground.do(environment, "-m", "bench.ingest", str(file), str(n_letters))
        ours = [(WEBHOOK, told["headers"], told["body"].encode()) for told in map(json.loads, file.open())]
        inserts = [("/one-insert/", headers, b"." + body) for _path, headers, body in ours]  # new to the table
        port = stack.enter_context(ground.web(environment))
        rivals = {"webhook": (port, ours), "one INSERT": (port, inserts)} | peers.rivals(server, stack, n_letters)
        found = _by_turns(rivals)
        stack.close()
        found["pgbench"] = _pgbench(server, environment, Path(folder))
        server.drop("bench_ingest")
        peers.drop(server)
    return found


def _by_turns(rivals: dict[str, tuple[int, list[Letter]]]) -> dict[str, dict[str, float]]:
    """One after the other, several times: what else the machine does meets them all."""
    loads: dict[str, list[Load]] = {name: [] for name in rivals}
    for port, letters in rivals.values():
        post_all(port, letters[:WARM], CALLERS)
    for turn in range(ROUNDS):
        first = WARM + turn * EACH
        for name, (port, letters) in rivals.items():
            loads[name].append(post_all(port, letters[first : first + EACH], CALLERS))
    return {name: _figures(rounds) for name, rounds in loads.items()}


def _figures(rounds: list[Load]) -> dict[str, float]:
    took = [one for load in rounds for one in load.took]
    return {
        "per second": ground.middle([load.per_second for load in rounds]),
        "p50 ms": 1000 * ground.middle(took),
        "p99 ms": 1000 * ground.percentile(took, 99),
    }


# --- the same SQL by pgbench ---


def _pgbench(server: ground.Databases, environment: dict[str, str], folder: Path) -> dict[str, float]:
    """Each client repeats one webhook's statements, for other refunds each time."""
    binary = shutil.which("pgbench")
    if binary is None:
        return {}
    script = folder / "webhook.sql"
    script.write_text(ground.do(environment, "-m", "bench.ingest", "--sql"))
    n_clients, n_each = CALLERS, 1000
    environment = ground.site(server.make("bench_pgbench"))
    ground.do(environment, "-m", "bench.ingest", "--fill", str(n_clients * n_each + 100))
    first = HISTORY - n_clients * n_each
    command = [binary, "--no-vacuum", "--client", str(n_clients), "--jobs", "2", "--transactions", str(n_each)]
    command += ["--define", "i=0", "--define", f"first={first}", "--define", f"each={n_each}", "--file", str(script)]
    done = subprocess.run([*command, server.of("bench_pgbench")], capture_output=True, text=True)
    server.drop("bench_pgbench")
    found = re.search(r"tps = ([\d.]+)", done.stdout)
    if done.returncode or not found:
        print(f"pgbench did not get through, and is left out:\n{done.stderr[-2000:]}", file=sys.stderr)
        return {}
    return {"per second": float(found[1])}


def statements() -> list[str]:
    """What one webhook asks the database, with its refund's number in it; in the order in which it is asked."""
    import django

    django.setup()
    from django.db import connection
    from django.test import Client
    from psycopg import ClientCursor

    from bench import letters
    from refunds.models import Refund

    connection.ensure_connection()
    writer, asked = ClientCursor(connection.connection), list[str]()

    def note(execute: Any, sql: str, values: Any, *rest: Any) -> Any:
        asked.append(writer.mogrify(sql, values) if values else sql)
        return execute(sql, values, *rest)

    key = letters.pinned_key()
    refund = Refund.objects.filter(status="processing").order_by("pk")[0]
    assert refund.pk != 1
    client = Client(SERVER_NAME="127.0.0.1")
    headers, body = next(letters.succeeded(1, key))
    with connection.execute_wrapper(note):
        answer = client.post(WEBHOOK, body, "application/json", headers={"Signature": headers["Signature"]})
    assert answer.status_code == 200, answer.status_code
    return [_for_any(sql, refund) for sql in asked]


def _for_any(sql: str, refund: Any) -> str:
    """One refund's statement as pgbench's script has it: the number is `:n`, and every id and digest a new one."""
    for found, put in (
        (f"'{refund.key.hex}'::uuid", "('00000000-0000-4000-8000-' || lpad(:n::text, 12, '0'))::uuid"),
        (r"'[0-9a-f]{32}'::uuid", "gen_random_uuid()"),
        (r"'[0-9a-f]{64}'", "md5('w:n') || md5(':n')"),
        (rf"([-+] -?){refund.amount}\)", r"\1(1000 + :n % 4000))"),
        (r'("refunds_delivery"."id" =) \d+$', r"\1 :delivery_id"),
        (rf"\b{refund.pk}\b", ":n"),
    ):
        sql = re.sub(found, put, sql)
    return sql


def script() -> str:
    """The transaction begins where the delivery is looked for; the look-up that follows is booked after it."""
    told = ["\\set i :i + 1", "\\set n :first + :client_id * :each + :i"]
    for sql in statements():
        told += ["BEGIN;"] * ("FOR UPDATE" in sql and '"refunds_delivery"."digest"' in sql)
        told += ["COMMIT;"] * sql.startswith('INSERT INTO "django_tasks')
        told.append(sql + (" \\gset delivery_" if sql.startswith('INSERT INTO "refunds_delivery"') else ";"))
    return "\n".join(told)


def main() -> None:
    """`FILE NUMBER` prepares a database and writes letters for it; `--fill NUMBER` prepares one; `--sql` a script."""
    if sys.argv[1] == "--sql":
        print(script())
        return
    import django

    django.setup()
    from django.core.management import call_command

    from bench import history, letters

    call_command("migrate", verbosity=0)
    call_command("createcachetable", verbosity=0)
    history.write(HISTORY, {"processing": int(sys.argv[2]) + 10}, "payerly-eu")
    if sys.argv[1] != "--fill":
        with Path(sys.argv[1]).open("w") as file:
            for headers, body in letters.succeeded(int(sys.argv[2]), letters.pinned_key()):
                file.write(json.dumps({"headers": headers, "body": body.decode()}) + "\n")


if __name__ == "__main__":
    main()
