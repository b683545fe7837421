"""The sandbox's own page: what it is, the stories, the credentials, the money that moved."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from typing import TYPE_CHECKING

from gateways.sandbox.stories import STORIES

if TYPE_CHECKING:
    from gateways.sandbox.server import Sandbox

LATEST = 50
STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #1c2430; }
table { border-collapse: collapse; width: 100%; margin: 1rem 0 2rem; }
th, td { text-align: left; padding: .35rem .8rem .35rem 0; border-bottom: 1px solid #d8dee6; vertical-align: top; }
code { background: #f1f4f7; padding: .1rem .3rem; border-radius: 3px; overflow-wrap: anywhere; }
"""
INTRODUCTION = """<h1>Sandbox</h1>
<p>Simulated gateways on this machine. They take orders over real HTTP, keep a ledger of the money they moved,
and send signed webhooks. No real money is anywhere near.</p>
<p>The last two digits of an amount choose its story: a refund of 12.<b>01</b> EUR is refused, 10<b>07</b> JPY
fails later. Every wait below is multiplied by the pace, which is now <b>{pace}</b>.</p>"""
CONTROLS = """<h2>Controls</h2>
<p><a href="/ledger">/ledger</a>, <a href="/requests">/requests</a> and <a href="/health">/health</a> answer in JSON.
These take a JSON object by POST:</p>
<table><tr><td><code>/control/tell</code></td><td><code>{"story": "answer_lost", "key": "…"}</code><br>
the next order that fits (key, payment or gateway) plays this story</td></tr>
<tr><td><code>/control/payment</code></td><td><code>{"payment": "…", "minor": 5000, "currency": "EUR"}</code><br>
from now on the refunds of this payment cannot exceed it</td></tr>
<tr><td><code>/control/payments</code></td><td><code>{"payments": [{…}, {…}]}</code><br>many at once</td></tr>
<tr><td><code>/control/callback</code></td><td><code>{"gateway": "airpay", "url": "…"}</code><br>
where webhooks go whose orders name no address, as a shop registers it in the gateway's panel</td></tr>
<tr><td><code>/control/webhook</code></td><td><code>{"key": "…", "word": "succeeded", "forged": true}</code><br>
sends one more webhook about a refund</td></tr></table>"""


def page(sandbox: Sandbox) -> str:
    """A whole HTML document that needs nothing from elsewhere."""
    stories = ((f"{number:02}", story.name, story.sentence) for number, story in STORIES.items())
    credentials = (
        (name, " ".join(f"{key}={text}" for key, text in sandbox.credentials(name).items()))
        for name in sandbox.simulators
    )
    moved = [tuple(str(text) for text in line.values()) for line in reversed(sandbox.ledger()[-LATEST:])]
    parts = [
        INTRODUCTION.format(pace=sandbox.desk.pace),
        "<h2>Stories</h2>",
        table(("Ends in", "Name", "What happens"), stories),
        "<h2>Credentials</h2>",
        table(("Gateway", "Settings"), credentials),
        f"<h2>Ledger</h2><p>The latest {LATEST} movements of money, the newest first.</p>",
        table(("Gateway", "Key", "Reference", "Payment", "Minor units", "Currency", "Kind", "At"), moved),
        CONTROLS,
    ]
    head = f'<meta charset="utf-8"><title>Sandbox</title><style>{STYLE}</style>'
    return f'<!doctype html><html lang="en"><head>{head}</head><body>{"".join(parts)}</body></html>'


def table(heads: Iterable[str], lines: Iterable[Iterable[str]]) -> str:
    head = "".join(f"<th>{escape(text)}</th>" for text in heads)
    body = "".join("<tr>" + "".join(f"<td>{escape(text)}</td>" for text in line) + "</tr>" for line in lines)
    return f"<table><tr>{head}</tr>{body}</table>"
