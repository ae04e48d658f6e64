"""What visitors and browsers depend on: headers, static files, the page for what is not there, the host."""

from __future__ import annotations

import mimetypes
import re
import secrets
from html.parser import HTMLParser
from urllib.parse import urljoin, urlsplit

from django.conf import settings

from deploy.reporting.report import Step

from .exchange import Answer
from .findings import (
    ANY_HOST,
    COOKIE_INSECURE,
    DEBUG_SHOWN,
    FRAMEABLE,
    NO_HSTS,
    NO_NOSNIFF,
    NO_REFERRER_POLICY,
    NO_STATIC_LINK,
    NOT_FOUND_WRONG,
    STATIC_MISSING,
    STATIC_NOT_HASHED,
    STATIC_NOT_IMMUTABLE,
    STATIC_WRONG_TYPE,
)
from .probe import Context
from .target import Target, parse_target

DEBUG_MARKERS = (
    "You’re seeing this error because you have <code>DEBUG = True</code>",
    "You're seeing this error because you have <code>DEBUG = True</code>",
    "Using the URLconf defined in",
    "DJANGO_SETTINGS_MODULE",
    "Traceback (most recent call last)",
)
WRONG_HOST = "deploy-smoketest.invalid"  # a name that never exists: RFC 6761, section 6.4
MOST_STATIC_FILES = 4

_HASHED = re.compile(r"[.-][0-9a-f]{8,64}\.[A-Za-z0-9.]+$")
_HOLDS = re.compile(r"max-age\s*=\s*\"?0*[1-9]")
_JAVASCRIPT = {"text/javascript", "application/javascript"}


def security_headers(context: Context, step: Step) -> None:
    """The login page, which is worth attacking, comes with the headers that browsers act on."""
    path, place = context.conf.smoke_login_path, context.target.url
    answer = context.page(path)
    headers = answer.headers
    if headers.get("x-content-type-options", "").lower() != "nosniff":
        step.add(NO_NOSNIFF(path=path, place=place))
    if not headers.get("referrer-policy"):
        step.add(NO_REFERRER_POLICY(path=path, place=place))
    framing = headers.get("x-frame-options", "").upper()
    if framing not in ("DENY", "SAMEORIGIN") and "frame-ancestors" not in headers.get(
        "content-security-policy", ""
    ):
        step.add(FRAMEABLE(path=path, place=place))
    step.facts["secure"] = context.target.secure
    if not context.target.secure:  # HSTS and secure cookies mean nothing over plain HTTP
        return
    if not _HOLDS.search(headers.get("strict-transport-security", "")):
        step.add(NO_HSTS(path=path, place=place))
    for line in answer.set_cookies:
        name, *attributes = line.split(";")
        if "secure" not in {attribute.strip().lower() for attribute in attributes}:
            step.add(COOKIE_INSECURE(path=path, name=name.partition("=")[0].strip(), place=place))


def static_files(context: Context, step: Step) -> None:
    """The static files that pages link are there, of the right type, and cached for good."""
    static_url = settings.STATIC_URL
    if not static_url:
        step.skip("STATIC_URL is not set")
        return
    pages = tuple(dict.fromkeys(("/", context.conf.smoke_login_path)))
    links: list[str] = []
    for page in pages:
        answer = context.page(page)
        if answer.media_type == "text/html":
            links += _links(answer, f"{context.target.origin}{context.target.base_path}{page}")
    base = urljoin(f"{context.target.origin}{context.target.base_path}/", static_url)
    found = [link for link in dict.fromkeys(links) if link.startswith(base)]
    if not found:
        step.add(NO_STATIC_LINK(pages=", ".join(pages), static_url=static_url, place=context.target.url))
        return
    chosen = _one_of_each_kind(found)
    step.facts.update(linked=len(found), looked_at=[urlsplit(link).path for link in chosen])
    for link in chosen:
        _look_at_file(context, step, link)


def _look_at_file(context: Context, step: Step, link: str) -> None:
    target, path = _where(context.target, link)
    answer = context.ask(path, target=target)
    name = urlsplit(link).path
    if answer.status != 200 or not answer.body:
        step.add(STATIC_MISSING(path=name, status=answer.status, size_bytes=len(answer.body), place=link))
        return
    expected = mimetypes.guess_type(name)[0]
    if expected and answer.media_type != expected and {answer.media_type, expected} != _JAVASCRIPT:
        step.add(STATIC_WRONG_TYPE(path=name, found=answer.media_type, expected=expected, place=link))
    if not _HASHED.search(name):
        step.add(STATIC_NOT_HASHED(path=name, place=link))
        return
    caching = answer.headers.get("cache-control", "")
    if "immutable" not in caching or not _HOLDS.search(caching):
        step.add(STATIC_NOT_IMMUTABLE(path=name, found=caching, place=link))


def _where(target: Target, link: str) -> tuple[Target, str]:
    """The server and path of a static file: the target itself, or the host that STATIC_URL names."""
    parts = urlsplit(link)
    path = parts.path + (f"?{parts.query}" if parts.query else "")
    if f"{parts.scheme}://{parts.netloc}" == target.origin:
        return target, path.removeprefix(target.base_path)
    return parse_target(f"{parts.scheme}://{parts.netloc}"), path


def _one_of_each_kind(links: list[str]) -> list[str]:
    """A link for each file ending, hashed ones first: one stylesheet proves as much as ten."""
    ordered = sorted(links, key=lambda link: not _HASHED.search(urlsplit(link).path))
    kinds = {urlsplit(link).path.rpartition(".")[2]: link for link in reversed(ordered)}
    return list(reversed(kinds.values()))[:MOST_STATIC_FILES]


class _LinkParser(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        wanted = {"link": "href", "script": "src", "img": "src"}.get(tag)
        self.found += [value for name, value in attrs if name == wanted and value]


def _links(answer: Answer, base: str) -> list[str]:
    parser = _LinkParser()
    parser.feed(answer.text)
    links = []
    for link in parser.found:
        try:
            links.append(urljoin(base, link).partition("#")[0])
        except ValueError:  # an address that no browser could follow either
            continue
    return links


def not_found(context: Context, step: Step) -> None:
    """What does not exist is a 404, and shows nothing of the inside."""
    answer = context.ask(f"/deploy-smoketest-{secrets.token_hex(8)}")
    step.facts["status"] = answer.status
    if answer.status != 404:
        step.add(NOT_FOUND_WRONG(status=answer.status, place=context.target.url))
    for marker in DEBUG_MARKERS:
        if marker in answer.text:
            step.add(DEBUG_SHOWN(marker=marker, place=context.target.url))
            return


def wrong_host(context: Context, step: Step) -> None:
    """A request for somebody else's host is refused: links in mails are built from the host."""
    answer = context.ask(context.conf.smoke_login_path, headers={"Host": WRONG_HOST})
    step.facts["status"] = answer.status
    away = urlsplit(answer.headers.get("location", "")).hostname
    if 400 <= answer.status < 500 or (300 <= answer.status < 400 and away not in (None, WRONG_HOST)):
        return
    step.add(
        ANY_HOST(
            host=WRONG_HOST,
            status=answer.status,
            right=context.target.host,
            place=context.target.url,
            level="info" if settings.DEBUG else None,
        )
    )
