"""Who may do what on which screen: the written matrix. `python -m tests.people.matrix` writes docs/roles.md from it.

An address of the URLconf, a registered model, an action or a step without a row here fails the build; so does a row
without one. A new page gets its row in SCREENS; the tests then ask each role for it, by each method.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PAGE = Path(__file__).resolve().parent.parent.parent / "docs" / "roles.md"

# One column each, in this order. A stranger has not logged in; "no staff" has, and is no member of staff.
ROLES = (
    "Agents",
    "Approvers",
    "Finance",
    "Auditors",
    "Gateway admins",
    "User admins",
    "no group",
    "superuser",
    "no staff",
    "stranger",
)
*_, NO_GROUP, SUPERUSER, NO_STAFF, STRANGER = ROLES

SIGNS = {
    "+": "answered",
    "x": "refused (403)",
    "0": "not there (404)",
    "m": "not by this method (405)",
    ">": "to the login",
}


@dataclass(frozen=True)
class Screen:
    """One address. `get` and `post` have a sign for each role; `does` is what an allowed POST is there for.

    Where `does` is empty no POST changes anything, whoever sends it.
    """

    url: str
    title: str
    get: str
    post: str
    does: str = ""


# Columns:                          Ag Ap Fi Au Ga Ua no su ns st
NOBODY = "xxxxxxxx>>"
NO_POST = "mmmmmmmm>>"
EVERYBODY = "++++++++>>"
OWN = "+++++++++>"  # about oneself alone
DESK = "++++xxx+>>"  # who works with refunds, and who looks
FINANCE = "xx+xxxxx>>"
ACCOUNTS = "+++++xx+>>"
DELIVERIES = "xx+++xx+>>"
EXPORTS = "xx++xxxx>>"
HISTORY = "xxx+xxx+>>"
PEOPLE = "xxx+x+x+>>"


def model(
    name: str, title: str, sees: str, *, page: str, adds: str = NOBODY, changes: str = "", one: str = ""
) -> tuple[Screen, ...]:
    """The addresses that the admin gives a registered model; nothing is ever deleted."""
    may_change = {"changes what it shows"} if changes else set()
    return (
        Screen(f"admin:{name}_changelist", f"{title}: the list", sees, sees),
        Screen(f"admin:{name}_change", f"{title}: one of them", one or sees, changes or page, "".join(may_change)),
        Screen(f"admin:{name}_add", f"{title}: a new one", adds, adds, "adds it" if adds != NOBODY else ""),
        Screen(f"admin:{name}_history", f"{title}: the admin's log of one", one or sees, one or sees),
        Screen(f"admin:{name}_delete", f"{title}: deleting one", NOBODY, NOBODY),
    )


SCREENS: tuple[Screen, ...] = (
    # --- the frame ---
    Screen("/", "The bare address, which leads to the desk", "++++++++++", "++++++++++"),
    Screen("admin:index", "The first page", EVERYBODY, EVERYBODY),
    Screen("admin:app_list", "The list of screens of one kind", "++++++0+>>", "++++++0+>>"),
    Screen("find", "Find anything a customer reads out", EVERYBODY, NO_POST),
    Screen("admin:search", "The search over screens' names", EVERYBODY, EVERYBODY),
    Screen("admin:jsi18n", "Words for scripts", EVERYBODY, NO_POST),
    Screen("admin:autocomplete", "Autocomplete, which no field uses", "0000000000", "0000000000"),
    Screen("admin/autocomplete/", "What stands before it", "0000000000", "0000000000"),
    Screen("admin:view_on_site", "View on site, which nothing has", "00000000>>", "00000000>>"),
    Screen("admin:<path:object_id>/", "An old form of a row's address", EVERYBODY, EVERYBODY),
    Screen("admin:(?P<url>.*)$", "Any other address of the admin", "00000000>>", "00000000>>"),
    # --- for machines, which have no session ---
    Screen("healthz", "Probe: the process answers", "++++++++++", "mmmmmmmmmm"),
    Screen("readyz", "Probe: it may be sent requests", "++++++++++", "mmmmmmmmmm"),
    Screen("statusz", "Probe: the whole desk works", "++++++++++", "mmmmmmmmmm"),
    Screen("metrics", "Metrics, closed without METRICS_TOKEN", "0000000000", "0000000000"),
    # --- login ---
    Screen("admin:login", "The admin's login, which is the desk's", "++++++++x>", "++++++++x>"),
    Screen("admin:logout", "The admin's logout", "mmmmmmmm++", ">>>>>>>>++", "logs out"),
    Screen("admin:password_change", "One's own password, in the admin", EVERYBODY, EVERYBODY, "changes it"),
    Screen("admin:password_change_done", "One's own password is changed", EVERYBODY, NO_POST),
    Screen("account_login", "Log in", "++++++++++", "++++++++++", "logs in"),
    Screen("account_logout", "Log out", "+++++++++>", ">>>>>>>>>>", "logs out"),
    Screen("account_inactive", "This person is switched off", "++++++++++", "mmmmmmmmmm"),
    Screen("account_change_password", "One's own password", "+++++++++>", "+++++++++>", "changes it"),
    Screen("account_reset_password_from_key", "An invitation: a first password", "++++++++++", "++++++++++", "sets it"),
    Screen("account_reset_password_from_key_done", "The first password is set", "++++++++++", "mmmmmmmmmm"),
    Screen("sso_begin", "Single sign-on: begin", "mmmmmmmmmm", "+++++++++0", "leads to the issuer, if there is one"),
    Screen("sso_callback", "Single sign-on: back from the issuer", "0000000000", "mmmmmmmmmm"),
    Screen("socialaccount_login_cancelled", "Single sign-on: given up", "++++++++++", "mmmmmmmmmm"),
    Screen("sso_again", "Single sign-on: prove it again", "000000000>", "mmmmmmmmm>"),
    Screen("sso_go_on", "Single sign-on: go on", OWN, OWN),
    Screen("account_reauthenticate", "Prove it again: password", OWN, OWN, "proves it"),
    Screen("mfa_authenticate", "Log in: the second factor", OWN, OWN, "proves it"),
    Screen("mfa_reauthenticate", "Prove it again: code", OWN, OWN, "proves it"),
    Screen("mfa_reauthenticate_webauthn", "Prove it again: passkey", OWN, OWN, "proves it"),
    Screen("preferences", "One's own preferences", EVERYBODY, EVERYBODY, "changes them"),
    Screen("mfa_index", "One's own security", OWN, "mmmmmmmmm>"),
    Screen("mfa_list_webauthn", "One's own passkeys, on the same page", OWN, "mmmmmmmmm>"),
    Screen("usersessions_list", "One's own sessions", OWN, OWN, "ends the others"),
    Screen("mfa_activate_totp", "One's own app: set up", OWN, OWN, "sets it up"),
    Screen("mfa_deactivate_totp", "One's own app: remove", "000000000>", "000000000>", "removes it, if there is one"),
    Screen("mfa_add_webauthn", "One's own passkey: add", OWN, OWN, "adds it"),
    Screen("mfa_edit_webauthn", "One's own passkey: rename", "000000000>", "000000000>", "renames one's own"),
    Screen("mfa_remove_webauthn", "One's own passkey: remove", "000000000>", "000000000>", "removes one's own"),
    Screen("mfa_view_recovery_codes", "One's own recovery codes", "000000000>", "mmmmmmmmm>"),
    Screen("mfa_generate_recovery_codes", "One's own recovery codes: new", OWN, OWN, "makes them"),
    # --- refunds ---
    *model("refunds_refund", "Refunds", DESK, page=NO_POST),
    Screen("admin:refunds_refund_export", "Refunds: export the list", NO_POST, EXPORTS, "exports what one may see"),
    Screen("admin:refunds_refund_grouped", "Refunds: the line of decisions in groups", "x+xxxxxx>>", "xmxxxxxx>>"),
    Screen("admin:refunds_refund_result", "Refunds: what came of one's own action", "0000xxx0>>", "0000xxx0>>"),
    Screen("admin:refunds_refund_unknown", "Unknown desk", DESK, NO_POST),
    Screen("admin:refunds_refund_reports", "Reports", DESK, NO_POST),
    Screen("admin:refunds_refund_step", "A step of a refund (see below)", "x+xxxxxx>>", "x+xxxxxx>>", "takes it"),
    Screen("admin:refunds_refund_declare", "Declare the outcome", FINANCE, FINANCE, "proposes it"),
    Screen("admin:refunds_refund_confirm", "Confirm what was declared", FINANCE, FINANCE, "confirms it"),
    Screen("admin:refunds_refund_drop", "Drop what was declared", FINANCE, FINANCE, "drops it"),
    Screen("admin:refunds_refund_pack", "The evidence pack of a refund", NO_POST, EXPORTS, "makes it"),
    Screen("admin:refunds_refund_evidence", "The evidence of a declaration", DESK, "mmmmxxxm>>"),
    # --- payments ---
    *model("refunds_payment", "Payments", DESK, page=NO_POST, adds=FINANCE),
    Screen("admin:refunds_payment_export", "Payments: export the list", NO_POST, EXPORTS, "exports what one may see"),
    Screen("admin:refunds_payment_request", "Request a refund", "+xxxxxxx>>", "+xxxxxxx>>", "requests it"),
    Screen("admin:refunds_payment_dispute", "Dispute of a payment", FINANCE, FINANCE, "marks or closes it"),
    Screen("admin:refunds_payment_import", "Import payments", FINANCE, FINANCE, "takes them in"),
    Screen("admin:refunds_payment_import_template", "The import's template", FINANCE, FINANCE),
    # --- batches ---
    *model("refunds_batch", "Batches", DESK, page=NO_POST, adds="+xxxxxxx>>", one="0+++000+>>"),
    Screen("admin:refunds_batch_rehearsal", "A file's dry run", "+xxxxxxx>>", "+xxxxxxx>>", "requests its rows"),
    Screen("admin:refunds_batch_refused", "One's own refused rows, as a file", "0000xxx0>>", NO_POST),
    Screen("admin:refunds_batch_template", "A template of such a file", "+xxxxxxx>>", NO_POST),
    # --- what gateways show and say ---
    *model("refunds_unmatchedrefund", "Unmatched refunds", DELIVERIES, page=NO_POST),
    Screen("admin:refunds_unmatchedrefund_match", "Say which refund it is", NO_POST, FINANCE, "says it"),
    Screen("admin:refunds_unmatchedrefund_dismiss", "Say that it is none of ours", NO_POST, FINANCE, "says it"),
    *model("refunds_delivery", "Deliveries", DELIVERIES, page=NO_POST),
    Screen("admin:refunds_delivery_refused", "Knocks that were refused", DELIVERIES, NO_POST),
    Screen("admin:refunds_delivery_replay", "Hear a delivery again", FINANCE, FINANCE, "hears it"),
    Screen(
        "admin:refunds_delivery_export", "Deliveries: export the list", NO_POST, EXPORTS, "exports what one may see"
    ),
    Screen("webhook", "The door for webhooks", "mmmmmmmmmm", "++++++++++", "hears the gateway, if it can prove itself"),
    # --- the house ---
    *model("refunds_account", "Accounts", ACCOUNTS, page=NO_POST),
    Screen("admin:refunds_account_step", "Pause, resume, try, accept a key", NO_POST, "xxxx+xx+>>", "does it"),
    *model("refunds_refundreason", "Reasons", ACCOUNTS, page=NOBODY, adds="xxxx+xx+>>", changes="xxxx+xx+>>"),
    *model("refunds_verification", "History", HISTORY, page=NO_POST),
    Screen("admin:refunds_verification_now", "Verify the history now", NO_POST, "xxx+xxxx>>", "starts it"),
    # --- people ---
    *model("auth_user", "People", PEOPLE, page=NOBODY, adds="xxxxx+x+>>", changes="xxxxx+x+>>"),
    Screen("admin:auth_user_invite", "Invite a person to set a password", "xxxxx+x+>>", "xxxxx+x+>>", "invites"),
    *model("auth_group", "Groups", PEOPLE, page=NOBODY),
)

GATEWAY_ADMINS, USER_ADMINS = "xxxx+xxx>>", "xxxxx+xx>>"
# A change or a delegation is there only for those whose office it is, and for the people whom it is about.
OF_A_CHANGE, OF_A_DELEGATION = "000+0+0+>>", "000++x0+>>"
SCREENS += (
    *model("refunds_rule", "Rules", ACCOUNTS, page=NO_POST),
    Screen("admin:refunds_rule_new", "Propose a new rule", GATEWAY_ADMINS, GATEWAY_ADMINS, "proposes it"),
    Screen("admin:refunds_rule_propose", "Propose another version", GATEWAY_ADMINS, GATEWAY_ADMINS, "proposes it"),
    Screen("admin:refunds_rule_end", "Propose the end of a rule", GATEWAY_ADMINS, GATEWAY_ADMINS, "proposes it"),
    *model("refunds_allowance", "Allowances", "xxx++xx+>>", page=NO_POST),
    Screen("admin:refunds_allowance_new", "Propose an allowance", GATEWAY_ADMINS, GATEWAY_ADMINS, "proposes it"),
    Screen("admin:refunds_allowance_propose", "Propose another one", GATEWAY_ADMINS, GATEWAY_ADMINS, "proposes it"),
    Screen("admin:refunds_allowance_end", "Propose its end", GATEWAY_ADMINS, GATEWAY_ADMINS, "proposes it"),
    *model("refunds_delegation", "Deputies", "x+x++xx+>>", page=NO_POST, one=OF_A_DELEGATION),
    Screen("admin:refunds_delegation_new", "Propose one's own deputy", "x+xxxxxx>>", "x+xxxxxx>>", "proposes it"),
    Screen("admin:refunds_delegation_end", "End a delegation", "000x+x0x>>", "000x+x0x>>", "ends it"),
    *model("refunds_change", "Changes", "xxx+++x+>>", page=NO_POST, one=OF_A_CHANGE),
    Screen("admin:refunds_change_confirm", "Confirm a change of groups", "000x0+0x>>", "000x0+0x>>", "confirms it"),
    Screen("admin:refunds_change_drop", "Drop a change of groups", "000x0+0x>>", "000x0+0x>>", "drops it"),
    Screen("admin:auth_user_groups", "Propose a person's groups", USER_ADMINS, USER_ADMINS, "proposes them"),
    Screen("admin:auth_user_accounts", "Propose a person's accounts", USER_ADMINS, USER_ADMINS, "proposes them"),
)

STATUSES = (
    "requested",
    "returned",
    "approved",
    "sending",
    "unknown",
    "processing",
    "succeeded",
    "failed",
    "rejected",
    "withdrawn",
    "reversed",
)
SENT = ("unknown", "processing", "succeeded", "failed", "withdrawn", "reversed")  # these withdrawn were at the gateway
AWAITING = ("unknown", "processing")


@dataclass(frozen=True)
class Step:
    """One verb about a refund: which roles may take it with their own and with other people's, and when it is taken.

    `own` and `others` are roles; where a role has the right and the refund is not one for it, `refuses_own` says that
    the service refuses. Asked for outside of `at`, the service refuses with a sentence and changes nothing.
    """

    name: str
    title: str
    own: tuple[str, ...]
    others: tuple[str, ...]
    at: tuple[str, ...]
    refuses_own: bool = False
    refuses_others: bool = False
    gateway: str = "payerly"

    def expects(self, role: str, status: str, *, own: bool) -> str:
        """ "does", "refuses" (with a sentence), or the sign of an answer that comes before any service is asked."""
        if role in (NO_STAFF, STRANGER):
            return ">"
        if role not in (self.own if own else self.others):
            return "x"
        is_refused = self.refuses_own if own else self.refuses_others
        return "does" if status in self.at and not is_refused else "refuses"


AGENTS, APPROVERS, FINANCE_ONLY = ("Agents",), ("Approvers",), ("Finance",)
WHO_CHECKS = ("Agents", "Approvers", "Finance")

STEPS: tuple[Step, ...] = (
    Step("approve", "Approve and send", APPROVERS, APPROVERS, ("requested",), refuses_own=True),
    Step("return", "Return with a question", APPROVERS, APPROVERS, ("requested",), refuses_own=True),
    Step("reject", "Reject", APPROVERS, APPROVERS, ("requested",), refuses_own=True),
    Step("unapprove", "Take the approval back", APPROVERS, APPROVERS, ("approved",), refuses_own=True),
    Step("send", "Send now", APPROVERS, APPROVERS, ("approved",)),
    Step("check", "Check with the gateway", WHO_CHECKS, WHO_CHECKS, SENT),
    Step("found", "Name the gateway's reference", FINANCE_ONLY, FINANCE_ONLY, ("unknown",), True, gateway="airpay"),
    Step("resubmit", "Answer and resubmit", AGENTS, AGENTS, ("returned",), refuses_others=True),
    Step("withdraw", "Withdraw", AGENTS, AGENTS, ("requested", "returned", "approved"), refuses_others=True),
    Step("cancel", "Cancel at the gateway", AGENTS, FINANCE_ONLY, ("processing",), gateway="paynow"),
    Step("retry", "Try again as a new refund", AGENTS, AGENTS, ("failed", "reversed")),
    Step("attend", "Answer a call for attention", FINANCE_ONLY, FINANCE_ONLY, STATUSES),
    Step("declare", "Declare the outcome", FINANCE_ONLY, FINANCE_ONLY, AWAITING),
    Step("confirm", "Confirm what another declared", FINANCE_ONLY, FINANCE_ONLY, AWAITING, refuses_own=True),
    Step("drop", "Drop what was declared", FINANCE_ONLY, FINANCE_ONLY, AWAITING),
)

# Model → action of its list → the step that it takes, and who is offered it.
ACTIONS: dict[str, dict[str, tuple[str, tuple[str, ...]]]] = {
    "refunds.Refund": {
        "approve_selected": ("approve", APPROVERS),
        "send_selected": ("send", APPROVERS),
        "check_selected": ("check", WHO_CHECKS),
        "return_selected": ("return", APPROVERS),
        "reject_selected": ("reject", APPROVERS),
        "withdraw_selected": ("withdraw", AGENTS),
    },
    "refunds.Payment": {"request_what_is_free": ("request", AGENTS)},
    "refunds.Account": {},
    "refunds.Batch": {},
    "refunds.Delivery": {},
    "refunds.Verification": {},
    "refunds.RefundReason": {},
    "refunds.UnmatchedRefund": {},
    "refunds.Rule": {},
    "refunds.Allowance": {},
    "refunds.Delegation": {},
    "refunds.Change": {},
    "auth.User": {},
    "auth.Group": {},
}

# The verbs of the other pages with steps: who takes them.
ACCOUNT_STEPS = dict.fromkeys(("pause", "resume", "try", "key"), ("Gateway admins", SUPERUSER))
DISPUTE_STEPS = dict.fromkeys(("dispute", "close"), FINANCE_ONLY)


# --- The page for people ---

SHOWN_ROLES = ROLES[:8]


def page() -> Iterator[str]:
    yield "# Who may do what\n\nWritten by `python -m tests.people.matrix` from the table that the tests ask every "
    yield "screen for; do not edit.\nNobody approves, confirms or names a reference of what they asked for themselves, "
    yield "whatever groups they are in.\nA person who is in two groups may do what either may. Who is limited to "
    yield "accounts meets nothing of the others.\nWhoever has not logged in, or is no member of staff, is led to the "
    yield "login.\n\n## Screens\n\n*see*: it is shown. *do*: what the last column says. An empty cell is a refusal.\n\n"
    yield _row("Screen", *SHOWN_ROLES, "What is done there")
    yield _row(*["---"] * (len(SHOWN_ROLES) + 2))
    for screen in SCREENS:
        if screen.get[: len(SHOWN_ROLES)].strip("x0m") or screen.post[: len(SHOWN_ROLES)].strip("x0m"):
            yield _row(screen.title, *(_cell(screen, number) for number in range(len(SHOWN_ROLES))), screen.does)
    yield "\nNothing is deleted by anybody: those addresses are refused to every role.\n"
    yield "\n## Steps of a refund\n\n"
    yield _row("Step", "Of one's own", "Of other people's", "While it is")
    yield _row(*["---"] * 4)
    for step in STEPS:
        own, others = ("" if step.refuses_own else step.own), ("" if step.refuses_others else step.others)
        yield _row(step.title, ", ".join(own), ", ".join(others), ", ".join(step.at))
    yield "\nA step at another moment is refused with a sentence, and nothing changes. "
    yield "A superuser takes none of them.\n"
    yield "\n## Actions of lists\n\n"
    yield "Each shows first what it would do, and then takes the step for each row by itself.\n\n"
    yield _row("List", "Action", "Who is offered it")
    yield _row(*["---"] * 3)
    for name, actions in ACTIONS.items():
        for step, who in actions.values():
            yield _row(name.split(".")[1], step, ", ".join(who))


def _cell(screen: Screen, number: int) -> str:
    sees = "see" if screen.get[number] in "+" else ""
    does = "do" if screen.does and screen.post[number] in "+>" else ""
    return " ".join(filter(None, (sees, does)))


def _row(*cells: str) -> str:
    return "| " + " | ".join(cells) + " |\n"


if __name__ == "__main__":
    PAGE.write_text("".join(page()))
    print(f"{PAGE.name} is written.")
