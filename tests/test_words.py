"""The desk speaks more than one language: the catalogues are whole, and no English stands on a Polish page."""

from __future__ import annotations

import ast
import gettext
import inspect
import os
import re
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from io import BytesIO
from pathlib import Path

import pytest
from babel.messages.catalog import Message
from django.conf import settings as django_settings
from django.test import Client
from django.utils import formats, timezone, translation
from django.utils.translation import gettext as _

from gateways import money
from gateways.money import Money
from gateways.registry import gateway_class
from gateways.registry import names as gateway_names
from gateways.sandbox import Sandbox
from refunds import capabilities, change_words, policy, services, wording
from refunds.errors import NotAllowed, in_words
from refunds.gateway_words import SENTENCES
from refunds.models import Event, Status
from refunds.people import GROUPS
from tests import words
from tests.builders import again, approved, bob, make_payment, make_rule, person
from tests.house import point_at
from tests.people import matrix
from tests.people.matrix import SCREENS, Screen
from tests.people.rooms import a_colleague, in_groups, standing
from tests.people.test_matrix import address_of

pytestmark = pytest.mark.once
LANGUAGES = words.languages()
PLACEHOLDER = re.compile(r"%\((\w+)\)[srd]|%%|\{(\w*)\}")


# --- The catalogues ---


def test_each_language_that_can_be_chosen_has_a_catalogue_and_each_catalogue_can_be_chosen() -> None:
    chosen = {code for code, _name in django_settings.LANGUAGES} - {"en"}
    assert {translation.to_locale(code) for code in chosen} == set(LANGUAGES)


@pytest.mark.parametrize("language", LANGUAGES)
def test_everything_is_translated(language: str) -> None:
    assert words.untranslated(words.catalogue(language)) == []


def placeholders(text: str) -> set[str]:
    return {found.group() for found in PLACEHOLDER.finditer(text)}


def differs(message: Message) -> bool:
    """Whether a translation names other placeholders than the English words, one form or the other."""
    ids, strings = (side if isinstance(side, tuple) else (side,) for side in (message.id, message.string))
    wanted = [placeholders(text) for text in ids]  # of one thing the sentence may name less than of many
    return any(placeholders(text) not in wanted for text in strings)


@pytest.mark.parametrize("language", LANGUAGES)
def test_each_translation_names_what_the_english_names(language: str) -> None:
    assert [one.id for one in words.catalogue(language) if one.id and differs(one)] == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_each_plural_has_all_the_forms_of_its_language(language: str) -> None:
    found = words.catalogue(language)
    assert found.num_plurals == {"pl": 3}.get(language, found.num_plurals)
    plurals = [one for one in found if isinstance(one.id, tuple)]
    assert [one.id for one in plurals if len(one.string) != found.num_plurals] == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_what_django_reads_is_what_was_translated(language: str) -> None:
    kept = (words.LOCALE / language / "LC_MESSAGES/django.mo").read_bytes()
    made = words.compiled(words.catalogue(language))
    read = [gettext.GNUTranslations(BytesIO(content))._catalog for content in (kept, made)]  # type: ignore[attr-defined]
    differing = {key for key in {*read[0], *read[1]} - {""} if read[0].get(key) != read[1].get(key)}
    assert differing == set(), "make words"


@pytest.mark.parametrize("language", LANGUAGES)
def test_everything_that_is_said_stands_in_the_catalogue(language: str, tmp_path: Path) -> None:
    if not words.can_extract():
        if os.environ.get("CI") == "true":
            pytest.fail(words.MISSING)
        print(words.MISSING, file=sys.__stderr__)
        pytest.skip(words.MISSING)
    kept = words.catalogue(language)
    found = words.catalogue(language, words.extracted(tmp_path))
    assert (words.ids(found) - words.ids(kept), words.ids(kept) - words.ids(found)) == (set(), set()), "make words"


# --- What connectors say, who know no Django ---


def said_by_check(kind: type) -> Iterator[str]:
    """Each sentence that its `check` can return."""
    module = inspect.getmodule(kind)
    assert module
    for function in ast.walk(ast.parse(inspect.getsource(module))):
        if isinstance(function, ast.FunctionDef) and function.name == "check":
            for told in (node.value for node in ast.walk(function) if isinstance(node, ast.Return) and node.value):
                branches = (told.body, told.orelse) if isinstance(told, ast.IfExp) else (told,)
                for branch in branches:
                    yield eval(compile(ast.Expression(branch), "check", "eval"), vars(module))


@pytest.mark.parametrize("name", gateway_names())
def test_whatever_a_connector_says_to_people_is_listed(name: str) -> None:
    kind = gateway_class(name)
    said = {kind.where_to_look, *kind.detail_labels.values(), *(one.text for one in kind.assumptions)}
    said |= {*said_by_check(kind), *([kind.label] if " " in kind.label else [])}
    assert said - {""} - {*SENTENCES} == set()


def test_whatever_is_said_of_what_is_no_money_is_listed() -> None:
    said = {money.NO_CURRENCY, money.NO_AMOUNT, money.OFF_THE_GRID}
    assert said - {*SENTENCES} == set()
    assert {*GROUPS} <= {one.id for one in words.catalogue("pl")}


def test_a_wrong_amount_is_told_in_the_readers_language() -> None:
    with pytest.raises(money.NotMoney) as trouble, translation.override("pl"):
        Money.parse("1,50", "EUR")
    assert str(trouble.value) == "'1,50' is not an amount: write digits and a point, such as 12.50."
    with translation.override("pl"):
        assert in_words(trouble.value) == "'1,50' nie jest kwotą: wpisz cyfry i kropkę, np. 12.50."


# --- How a language counts and writes days ---


@pytest.mark.parametrize(
    ("number", "said"), [(1, "1 zwrot"), (2, "2 zwroty"), (5, "5 zwrotów"), (12, "12 zwrotów"), (22, "22 zwroty")]
)
def test_polish_has_three_plurals(number: int, said: str) -> None:
    with translation.override("pl"):
        words_for = translation.ngettext("%(number)s refunds", "%(number)s refunds", number)
        assert words_for % {"number": number} == said


def test_moments_read_as_their_language_writes_them() -> None:
    when = timezone.datetime(2026, 11, 21, 14, 5, tzinfo=timezone.get_current_timezone())
    with translation.override("pl"):
        assert wording.moment(when) == "21 lis 2026, 14:05"
        assert formats.date_format(when, "j F Y") == "21 listopada 2026"
    with translation.override("en"):
        assert wording.moment(when) == "21 Nov 2026, 14:05"


@pytest.mark.django_db
def test_a_rule_is_a_polish_sentence() -> None:
    rule = make_rule("2", from_amount=50000, currency="EUR", from_days=5)
    with translation.override("pl"):
        said = change_words.sentence(rule).replace("\N{NO-BREAK SPACE}", " ")
        assert said == "Od 500,00 EUR, płatności sprzed co najmniej 5 dni: dwie akceptacje"
        assert capabilities.span(timezone.timedelta(days=2)) == "2\N{NO-BREAK SPACE}dni"


# --- What is kept stays English ---


@pytest.mark.django_db
def test_whoever_acts_in_polish_writes_an_english_journal() -> None:
    """Refusals are said in Polish; what the journal keeps is what it would keep in English."""
    with translation.override("pl"):
        refund = standing(Status.UNKNOWN, a_colleague())
        finance, other = person("fin", "Finance"), person("eve", "Finance")
        services.propose_outcome(refund.pk, finance, "failed", "Seen.", seen=refund.version, ticket="T-1")
        refund = again(refund)
        services.drop_proposal(refund.pk, other, "No.", seen=refund.version)
        gone = approved(make_payment(reference="pay-9"))
        bob().groups.clear()
        services.send_refund(gone.pk)
        with pytest.raises(NotAllowed) as refusal:
            policy.demand(bob(), policy.APPROVE, _("send a refund"))
    kept = "\n".join(Event.objects.values_list("text", flat=True))
    assert str(refusal.value) == "Nie możesz wysłać zwrotu: Twoje grupy nie dają tego prawa."
    assert "Proposed: no money moved. Seen." in kept
    assert "may no longer approve refunds. It has to be approved again." in kept
    assert re.search(r"[ąćęłńóśźż]", kept, re.IGNORECASE) is None


# --- No English on a Polish page ---

# Django keeps the names of permissions as rows, in English.
ENGLISH_ROWS = {"admin:auth_group_change"}

# Words of English that are no words of Polish; a page that has one of them has somewhere an English sentence.
ENGLISH = re.compile(
    r"\b(the|is|are|was|were|of|and|or|not|has|have|this|that|what|who|which|nothing|nobody|your|you|with|for|from|it|"
    r"its|in|all|an|another|as|at|when|until|then|there|they|their|cannot|may|can|"
    r"refunds?|payments?|accounts?|approv\w+|request\w*|customer|amount|captured|reason|number|name|add|back|choose|"
    r"search|history|send|sent|show|home|view|change|delete|log|yes|none|today)\b",
    re.IGNORECASE,
)
SILENT = ("script", "style", "code", "template")
SAID_ASIDE = ("aria-label", "title", "placeholder", "alt", "data-label")
# What people and the tests' ground have typed, and what the world calls so.
DATA = re.compile(
    r"Refund desk|Goods returned|Cancelled order|Not delivered|Damaged or wrong item|Charged twice|Goodwill|"
    r"Your returned goods have arrived\.|Your order was cancelled\.|Your order did not arrive\.|"
    r"The item was damaged or not the one you ordered\.|You were charged twice\.|A gesture of goodwill\.|"
    r"It could be one of ours\.|Because\.|Seen\.|statement\.txt|one-of-[\w-]+|a-\w+|airpay-in|"
    r"^(?:account|amount|reason)$|refunds\.csv|\byes, no\b|"  # columns of a file, and what stands in them
    r"Payerly's delivery cannot be relied on: type is missing\.|"  # what a connector has said, and was kept
    rf"{'|'.join(GROUPS)}|"  # rows of Django's own, under their English names
    r"\w+@[\w.]+|manage\.py \w+|[A-Z]+_[A-Z_]+|\w+_\w+|\S*/\S*"
)


class Said(HTMLParser):
    """What a page says to a person: its text, and what stands in for a picture or an empty field."""

    def __init__(self) -> None:
        super().__init__()
        self.silent, self.is_icon, self.said, self.language = 0, False, list[str](), ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        told = dict(attrs)
        self.language = told.get("lang") or self.language if tag == "html" else self.language
        self.silent += tag in SILENT
        self.is_icon = "material-symbols" in (told.get("class") or "")
        self.said += [told[name] or "" for name in SAID_ASIDE if name in told]

    def handle_endtag(self, tag: str) -> None:
        self.silent -= tag in SILENT
        self.is_icon = False

    def handle_data(self, text: str) -> None:
        if not self.silent and not self.is_icon:
            self.said.append(" ".join(text.split()))


def english_in(page: str) -> list[str]:
    said = Said()
    said.feed(page)
    assert said.language == "pl"
    return sorted({text for text in said.said if ENGLISH.search(DATA.sub("", text))})


# Each page that somebody who works here may open.
SHOWN = [one for one in SCREENS if "+" in one.get[:6] and one.url not in ENGLISH_ROWS]


@pytest.mark.django_db
@pytest.mark.parametrize("screen", SHOWN, ids=lambda screen: screen.url)
def test_no_english_stands_on_a_polish_page(screen: Screen, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    point_at(Sandbox(pace=1000), monkeypatch)
    monkeypatch.setattr(django_settings, "MEDIA_ROOT", str(tmp_path))
    url = address_of(screen.url)
    visitor = Client(headers={"accept-language": "pl"})
    visitor.force_login(in_groups("everything", *matrix.ROLES[:6]))
    answer = visitor.get(url, follow=True)
    if "text/html" in answer["Content-Type"] and answer.content and not answer.streaming:
        assert english_in(answer.content.decode()) == []
