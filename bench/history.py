"""Years of a desk's work, written by SQL: so many finished refunds, and the same small pile of open ones.

A desk that makes a thousand refunds a day has the same line of decisions after ten days as after three years; only its
history grows. So the numbers of what is open, and of what happens in a day, are the same at every size.
PostgreSQL only. Digests are well-formed and chain nothing: `verify` would find this history forged, and be right.
"""

from __future__ import annotations

from collections.abc import Mapping

from django.contrib.auth.models import Group, User
from django.core.management import call_command
from django.db import connection

from refunds.models import Account, Refund, RefundReason

A_DAY = 1000
OPEN = {"requested": 600, "returned": 40, "approved": 60, "processing": 400, "unknown": 40}  # the newest rows
N_AGENTS, N_APPROVERS = 40, 10
LINES = 10  # of the journal, for each refund

# Row n of 1 … is refund n of payment n, asked for n/A_DAY days after the first.
PAYMENTS = """
INSERT INTO refunds_payment (id, public_id, account_id, reference, "order", currency, captured, refunded, held, status,
    version, captured_at, customer_name, customer_email, method, dispute_case, created_at)
SELECT n, gen_random_uuid(), (%(accounts)s::bigint[])[1 + n %% %(n_accounts)s], 'pay-' || n, 'ORDER-' || n, 'EUR',
    5000 + n %% 90000, CASE WHEN n > %(open_from)s THEN 0 ELSE 1000 + n %% 4000 END,
    CASE WHEN n > %(open_from)s THEN 1000 + n %% 4000 ELSE 0 END,
    CASE WHEN n > %(open_from)s THEN 'captured' ELSE 'partially_refunded' END, 3,
    at - interval '9 days', initcap(substr(md5((n / 3)::text), 1, 7)) || ' ' || initcap(substr(md5(n::text), 1, 9)),
    substr(md5((n / 3)::text), 1, 12) || '@customer.example', 'card', '', at - interval '9 days'
FROM (SELECT n, now() - (%(last)s - n) * interval '1 day' / %(a_day)s AS at
      FROM generate_series(%(first)s, %(last)s) AS n) AS days
"""
REFUNDS = """
INSERT INTO refunds_refund (id, key, payment_id, account_id, source, amount, reason_id, reason_word, public_note,
    ticket, internal_note, approvals_needed, status, version, revision, needs_attention, may_not_be_sent,
    requested_by_id, requested_at, approved_at, sent_at, final_at, reference, details, identifiers, to_confirm,
    ask_at, asks, fence,
    exclusive)
SELECT n, ('00000000-0000-4000-8000-' || lpad(n::text, 12, '0'))::uuid, n,
    (%(accounts)s::bigint[])[1 + n %% %(n_accounts)s], 'house', 1000 + n %% 4000,
    (%(reasons)s::bigint[])[1 + n %% %(n_reasons)s], '', 'Goods returned', 'T-' || n,
    'A note for colleagues, as people write them.',
    1, status, %(lines)s, 1, '', false, (%(agents)s::bigint[])[1 + n %% %(n_agents)s], at,
    CASE WHEN status IN ('requested', 'returned') THEN NULL ELSE at + interval '2 hours' END,
    CASE WHEN status IN ('requested', 'returned', 'approved') THEN NULL ELSE at + interval '2 hours 1 second' END,
    CASE WHEN status IN ('succeeded', 'failed') THEN at + interval '5 hours' END,
    CASE WHEN status IN ('requested', 'returned', 'approved') THEN '' ELSE 're-' || n END, '{}',
    CASE WHEN status IN ('requested', 'returned', 'approved') THEN '' ELSE 're-' || n || ' rrn' || n END, '',
    CASE WHEN status IN ('approved', 'processing', 'unknown') THEN now() + interval '1 day' END, 0, 1, false
FROM (SELECT n, now() - (%(last)s - n) * interval '1 day' / %(a_day)s AS at, CASE
        WHEN n > %(open_from)s THEN (%(open)s::text[])[n - %(open_from)s]
        WHEN n %% 60 = 0 THEN 'failed' ELSE 'succeeded' END AS status
      FROM generate_series(%(first)s, %(last)s) AS n) AS rows
"""
EVENTS = """
INSERT INTO refunds_event (payment_id, refund_id, sequence, step, from_status, to_status, actor, actor_user_id, source,
    at, text, data, heard, correlation, digest)
SELECT n, n, line, 'step ' || line, 'sending', 'processing', 'worker', NULL, 'worker',
    now() - (%(last)s - n) * interval '1 day' / %(a_day)s + line * interval '20 minutes',
    'Taken to the gateway, and what it said of this one in a sentence of usual length.', '{"code": "00"}',
    md5(n::text || line), md5(line::text || n), md5(n::text || line) || md5(line::text || n)
FROM generate_series(%(first)s, %(last)s) AS n, generate_series(1, %(lines)s) AS line
"""
ATTEMPTS = """
INSERT INTO refunds_attempt (refund_id, kind, fence, "order", body_digest, before, outcome, said, exchanges, started_at,
    finished_at)
SELECT id, 'send', 1, json_build_object('key', key, 'payment_reference', 'pay-' || id, 'amount', amount,
    'currency', 'EUR', 'reason', '', 'note', public_note, 'callback_url', ''), md5(id::text), '{}', 'answered',
    'processing', '[]', sent_at, sent_at + interval '300 ms'
FROM refunds_refund WHERE sent_at IS NOT NULL ORDER BY id
"""
DELIVERIES = """
INSERT INTO refunds_delivery (account_id, refund_id, received_at, headers, body, digest, result, why)
SELECT account_id, id, final_at, '{}', '{"id": "re-' || id || '", "status": "succeeded"}',
    md5(id::text) || md5('d' || id), 'applied', ''
FROM refunds_refund WHERE final_at IS NOT NULL ORDER BY id
"""


def people() -> None:
    """Agents and approvers of a middling desk, and one of every other group."""
    for group, number in {"Agents": N_AGENTS, "Approvers": N_APPROVERS, "Finance": 1, "Auditors": 1}.items():
        rows = [User(username=f"{group.lower()}-{n}", is_staff=True, password="!") for n in range(number)]
        for user in User.objects.bulk_create(rows):
            user.groups.add(Group.objects.get(name=group))


def write(n_refunds: int, opened: Mapping[str, int] = OPEN, account: str = "") -> None:
    """An empty database becomes one with so many refunds, ten journal lines each; the newest are `opened`.

    Of all accounts, or of those whose name begins so.
    """
    call_command("sync_accounts", verbosity=0)
    people()
    statuses = [status for status, number in opened.items() for _ in range(number)]
    accounts = list(Account.objects.filter(slug__startswith=account).order_by("pk").values_list("pk", flat=True))
    reasons = list(RefundReason.objects.values_list("pk", flat=True))
    agents = list(User.objects.filter(groups__name="Agents").values_list("pk", flat=True))
    told = {
        "first": 1, "last": n_refunds, "open_from": n_refunds - len(statuses), "open": statuses, "a_day": A_DAY,
        "accounts": accounts, "n_accounts": len(accounts), "reasons": reasons, "n_reasons": len(reasons),
        "agents": agents, "n_agents": len(agents), "lines": LINES,
    }  # fmt: skip
    with connection.cursor() as cursor:
        cursor.execute("SET session_replication_role = replica")  # neither keys nor guards are asked
        for statement in (PAYMENTS, REFUNDS, ATTEMPTS, DELIVERIES, EVENTS):
            cursor.execute(statement, told)
        for table in ("payment", "refund"):
            cursor.execute(f"SELECT setval(pg_get_serial_sequence('refunds_{table}', 'id'), %s)", [n_refunds])
        cursor.execute("SET session_replication_role = DEFAULT")
        cursor.execute("VACUUM ANALYZE")
    assert Refund.objects.filter(pk=n_refunds).exists()
