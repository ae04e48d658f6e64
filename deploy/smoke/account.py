"""What a person and a program do first: log in, and ask the API, with the smoke account if there is one."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from urllib.parse import urlencode

from django.conf import settings

from deploy.reporting.redaction import register_secret
from deploy.reporting.report import Step

from .exchange import Answer
from .findings import (
    API_BROKEN,
    API_LOGIN_REFUSED,
    API_NO_TOKEN,
    API_NOT_JSON,
    LOGIN_PAGE_BROKEN,
    LOGIN_REFUSED,
    NO_CSRF_COOKIE,
    NO_LOGIN_FORM,
)
from .probe import Context

NO_ACCOUNT = "no smoke account: set SMOKE_ACCOUNT and SMOKE_PASSWORD"
NO_API = "no API is named: set DEPLOY['SMOKE_API_LOGIN_PATH'] and DEPLOY['SMOKE_API_PATH']"


def login_page(context: Context, step: Step) -> None:
    """The login page has what a login needs."""
    path, place = context.conf.smoke_login_path, context.target.url
    answer = context.page(path)
    if answer.status != 200:
        step.add(LOGIN_PAGE_BROKEN(path=path, status=answer.status, place=place))
        return
    if not settings.CSRF_USE_SESSIONS and settings.CSRF_COOKIE_NAME not in answer.cookies():
        step.add(NO_CSRF_COOKIE(path=path, place=place))
    if "password" not in (form := _form(answer)) or not form.get("csrfmiddlewaretoken"):
        step.add(NO_LOGIN_FORM(path=path, place=place))


def login(context: Context, step: Step) -> None:
    """The smoke account can log in, and out again."""
    conf, path = context.conf, context.conf.smoke_login_path
    if not (conf.smoke_account and conf.smoke_password):
        step.skip(NO_ACCOUNT)
        return
    page = context.ask(path)
    form = {**_form(page), "username": conf.smoke_account, "password": conf.smoke_password}
    answer = _post_form(context, path, form, page.cookies())
    session = answer.cookies().get(settings.SESSION_COOKIE_NAME)
    if answer.status not in (302, 303) or not session:
        reason = "the answer is the form again" if answer.status == 200 else f"the answer is {answer.status}"
        step.add(
            LOGIN_REFUSED(account=conf.smoke_account, path=path, reason=reason, place=context.target.url)
        )
        return
    # The session is of no use to anybody from here on; where logout lives is Django's admin's convention.
    cookies = {**page.cookies(), **answer.cookies()}
    token = {"csrfmiddlewaretoken": cookies.get(settings.CSRF_COOKIE_NAME, "")}
    left = _post_form(context, path.replace("login", "logout"), token, cookies)
    step.facts["logged_out"] = left.status in (200, 302, 303)


def api(context: Context, step: Step) -> None:
    """The smoke account gets a token from the API and an answer with it."""
    conf, place = context.conf, context.target.url
    if not (conf.smoke_api_login_path and conf.smoke_api_path):
        step.skip(NO_API)
        return
    if not (conf.smoke_account and conf.smoke_password):
        step.skip(NO_ACCOUNT)
        return
    path = conf.smoke_api_login_path
    credentials = {"username": conf.smoke_account, "password": conf.smoke_password}
    answer = context.ask(
        path,
        method="POST",
        headers={"Content-Type": "application/json"},
        body=json.dumps(credentials).encode(),
    )
    if answer.status not in (200, 201):
        step.add(API_LOGIN_REFUSED(path=path, status=answer.status, account=conf.smoke_account, place=place))
        return
    told = answer.json()
    token = told.get("token") if isinstance(told, dict) else None
    if not isinstance(token, str) or not token.isprintable() or not token.isascii():
        step.add(API_NO_TOKEN(path=path, place=place))
        return
    register_secret(token)
    answer = context.ask(conf.smoke_api_path, headers={"Authorization": f"Bearer {token}"})
    step.facts["status"] = answer.status
    if answer.status != 200:
        step.add(API_BROKEN(path=conf.smoke_api_path, status=answer.status, place=place))
    elif answer.media_type != "application/json" or answer.json() is None:
        step.add(API_NOT_JSON(path=conf.smoke_api_path, found=answer.media_type, place=place))


def _post_form(context: Context, path: str, form: dict[str, str], cookies: dict[str, str]) -> Answer:
    target = context.target
    return context.ask(
        path,
        method="POST",
        headers={
            "Content-Type": "application/x-www-form-urlencoded",
            "Cookie": "; ".join(f"{name}={value}" for name, value in cookies.items()),
            # Over HTTPS Django's CSRF check wants to see where the form came from.
            "Referer": f"{target.origin}{target.base_path}{path}",
        },
        body=urlencode(form).encode(),
    )


class _FormParser(HTMLParser):
    """The fields of the first form that asks for a password."""

    def __init__(self) -> None:
        super().__init__()
        self.fields: dict[str, str] = {}
        self.found: dict[str, str] | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "form":
            self.fields = {}
        elif tag == "input" and given.get("name"):
            self.fields[str(given["name"])] = given.get("value") or ""
            if given.get("type") == "password" and self.found is None:
                self.found = self.fields


def _form(answer: Answer) -> dict[str, str]:
    parser = _FormParser()
    parser.feed(answer.text)
    return parser.found or {}
