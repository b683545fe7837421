"""Who is limited to some accounts knows of nothing else."""

from __future__ import annotations

import pytest

from refunds import policy, scope
from refunds.errors import NotAllowed
from refunds.models import Account, Payment, Refund
from tests.builders import alice, ask, bob, limit_to, make_account, make_payment

pytestmark = pytest.mark.django_db


def test_without_a_limit_everything_is_there() -> None:
    refund = ask()
    limit_to(alice(), make_account("bank"))
    assert scope.limited_to(bob()) is None
    assert list(scope.within(Refund.objects.all(), bob())) == [refund]
    assert scope.includes(bob(), refund.account)
    policy.demand_in_scope(bob(), refund.account)


def test_a_limit_shows_its_accounts_and_no_others() -> None:
    mine, other = make_payment(account=make_account("bank")), make_payment(reference="pay-2")
    limit_to(bob(), mine.account)
    assert list(scope.within(Payment.objects.all(), bob())) == [mine]
    assert list(scope.within(Account.objects.all(), bob(), "pk")) == [mine.account]
    assert scope.includes(bob(), mine.account)
    assert not scope.includes(bob(), other.account)
    policy.demand_in_scope(bob(), mine.account)
    with pytest.raises(NotAllowed, match=f"You do not work with the account {other.account}"):
        policy.demand_in_scope(bob(), other.account)


def test_accounts_are_named_in_one_order() -> None:
    accounts = [make_account(name) for name in ("bank", "cash", "payerly-eu")]
    limit_to(bob(), *reversed(accounts))
    assert scope.limited_to(bob()) == sorted(account.pk for account in accounts)
