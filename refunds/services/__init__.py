"""The steps of a refund, one function each. Everything that changes a refund or a payment goes through here."""

from refunds.services.again import again, can_be_settled, gateways_by_hand, is_made_by_hand
from refunds.services.allowances import Left, day_of_the_house, left_of, left_today, taken_today
from refunds.services.batches import batches_for, confirmed_before, known_rows, open_batch, take_batch_turn
from refunds.services.brakes import accept_key, fingerprint, pause_account, resume_account, try_account_now
from refunds.services.cancel import ask_to_cancel, why_no_cancel
from refunds.services.change_kinds import allowance_subject, next_number
from refunds.services.changes import change_at_once, confirm_change, drop_change, end_delegation, propose_change, stands
from refunds.services.decide import approve_refund, reject_refund, return_refund, unapprove_refund
from refunds.services.declare import (
    confirm_outcome,
    drop_proposal,
    not_failed_before,
    open_declaration,
    propose_outcome,
)
from refunds.services.deliveries import hear_delivery, hear_knock, hear_webhook
from refunds.services.disputes import close_dispute, mark_disputed
from refunds.services.due import book_key_fetch, sweep
from refunds.services.duplicates import DUPLICATE_DAYS, duplicates_of, duplicates_of_wish, likely_duplicate
from refunds.services.forget import forget_customer
from refunds.services.hold import held_until, hold_time
from refunds.services.identity import sync as sync_people
from refunds.services.invite import invitation, send_invitation, why_no_mail
from refunds.services.knocks import note_refused
from refunds.services.let_in import let_in
from refunds.services.persons import end_sessions, set_groups, switch_off
from refunds.services.preview import DAYS as PREVIEW_DAYS
from refunds.services.preview import Preview, preview_rule
from refunds.services.record import record_update
from refunds.services.rehearsal import DryRun, Planned, dry_run
from refunds.services.replay import Reading, Replay, read_again, rehearse_replay, replay_delivery
from refunds.services.request import request_refund, resubmit_refund, retry_refund, withdraw_refund
from refunds.services.restore import after_restore
from refunds.services.send import send_now, send_refund
from refunds.services.settle import check_refund, clear_attention, look_up_payment, settle_refund, why_no_check
from refunds.services.telling import notices_given_up, sweep_notices, tell
from refunds.services.tidying import tidy
from refunds.services.turns import take_payment_turn, take_turn
from refunds.services.typed import searches_for_a_card, to_hand_out, without_cards
from refunds.services.unmatched import (
    Suggestion,
    best_suggestions,
    dismiss_unmatched,
    match_unmatched,
    name_reference,
    suggestions,
    why_no_match,
    why_no_name,
)
from refunds.services.wishes import save_preference

__all__ = [
    "DUPLICATE_DAYS",
    "PREVIEW_DAYS",
    "DryRun",
    "Left",
    "Planned",
    "Preview",
    "Reading",
    "Replay",
    "Suggestion",
    "accept_key",
    "after_restore",
    "again",
    "allowance_subject",
    "approve_refund",
    "ask_to_cancel",
    "batches_for",
    "best_suggestions",
    "book_key_fetch",
    "can_be_settled",
    "change_at_once",
    "check_refund",
    "clear_attention",
    "close_dispute",
    "confirm_change",
    "confirm_outcome",
    "confirmed_before",
    "day_of_the_house",
    "dismiss_unmatched",
    "drop_change",
    "drop_proposal",
    "dry_run",
    "duplicates_of",
    "duplicates_of_wish",
    "end_delegation",
    "end_sessions",
    "fingerprint",
    "forget_customer",
    "gateways_by_hand",
    "hear_delivery",
    "hear_knock",
    "hear_webhook",
    "held_until",
    "hold_time",
    "invitation",
    "is_made_by_hand",
    "known_rows",
    "left_of",
    "left_today",
    "let_in",
    "likely_duplicate",
    "look_up_payment",
    "mark_disputed",
    "match_unmatched",
    "name_reference",
    "next_number",
    "not_failed_before",
    "note_refused",
    "notices_given_up",
    "open_batch",
    "open_declaration",
    "pause_account",
    "preview_rule",
    "propose_change",
    "propose_outcome",
    "read_again",
    "record_update",
    "rehearse_replay",
    "reject_refund",
    "replay_delivery",
    "request_refund",
    "resubmit_refund",
    "resume_account",
    "retry_refund",
    "return_refund",
    "save_preference",
    "searches_for_a_card",
    "send_invitation",
    "send_now",
    "send_refund",
    "set_groups",
    "settle_refund",
    "stands",
    "suggestions",
    "sweep",
    "sweep_notices",
    "switch_off",
    "sync_people",
    "take_batch_turn",
    "take_payment_turn",
    "take_turn",
    "taken_today",
    "tell",
    "tidy",
    "to_hand_out",
    "try_account_now",
    "unapprove_refund",
    "why_no_cancel",
    "why_no_check",
    "why_no_mail",
    "why_no_match",
    "why_no_name",
    "withdraw_refund",
    "without_cards",
]
