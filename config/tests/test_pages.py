"""Pages that must work when little else does, and templates that use only existing style classes."""

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest
import unfold
from django.conf import settings
from django.db import OperationalError
from django.template import Context, Template
from django.template.loader import render_to_string
from django.test import Client

from chats.models import Broadcast
from core.templatetags.opsroom import STATE_STYLES, UNKNOWN, state, when

HERE = Path(settings.BASE_DIR)
PAGES = ["400.html", "403.html", "403_csrf.html", "404.html", "500.html", "503.html", "admin/locked_out.html"]


# --- Error pages: without the `db` fixture, so that a query fails the test -----------------------------
@pytest.mark.parametrize("name", PAGES)
def test_an_error_page_needs_neither_the_database_nor_a_request(name):
    page = render_to_string(name)

    assert "<h1>" in page and "Opsroom" in page


@pytest.mark.parametrize("name", PAGES)
def test_an_error_page_carries_everything_it_needs_and_follows_the_viewers_colours(name):
    page = render_to_string(name)

    assert not re.search(r'(src|<link[^>]*href)="', page)
    assert "prefers-color-scheme: dark" in page
    assert "width=device-width" in page


def test_an_address_without_anything_is_a_page_for_a_person():
    answer = Client().get("/nothing/", headers={"accept": "text/html"})

    assert answer.status_code == 404
    assert "There is nothing at this address" in answer.content.decode()


def test_a_database_that_is_away_is_a_page_that_offers_to_try_again(monkeypatch):
    def away(*args: object, **kwargs: object) -> None:
        raise OperationalError("gone")

    monkeypatch.setattr("config.urls.admin.site.login_template", "404.html")
    monkeypatch.setattr("django.contrib.sessions.backends.db.SessionStore.load", away)
    client = Client(raise_request_exception=False)
    client.cookies[settings.SESSION_COOKIE_NAME] = "x" * 32

    answer = client.get("/admin/")

    assert answer.status_code == 503
    assert answer.headers["Retry-After"] == "5"
    page = answer.content.decode()
    assert "Back in a moment" in page and "Try again" in page


@pytest.mark.django_db
def test_the_login_page_is_calm_and_gives_nothing_away():
    page = Client().get("/admin/login/").content.decode()

    assert "Opsroom" in page and "config/login.svg" in page
    assert "12345" not in page


# --- States and times ------------------------------------------------------------------------------------
@pytest.mark.parametrize("status", Broadcast.Status.values)
def test_every_state_of_a_broadcast_has_its_look(status):
    assert STATE_STYLES[status] is not UNKNOWN


def test_a_state_is_a_word_and_an_icon_never_a_colour_alone():
    label = state("timed_out")

    assert "Timed out" in label
    assert "material-symbols-outlined" in label and "state-failed" in label


def test_what_a_state_says_is_escaped():
    assert "<b>" not in state("<b>")


def test_a_time_is_exact_on_hover_and_machine_readable():
    shown = when(datetime(2026, 3, 1, 9, 5, 7, tzinfo=UTC))

    assert 'datetime="2026-03-01T09:05:07.000+00:00"' in shown
    assert 'title="1 March 2026, 09:05:07 UTC"' in shown
    assert ">1 Mar 2026, 09:05</time>" in shown


def test_no_time_is_a_dash():
    assert "–" in Template("{% load opsroom %}{% when nothing %}").render(Context())


# --- Stylesheets -----------------------------------------------------------------------------------------
def our_templates() -> list[Path]:
    return sorted(path for path in HERE.glob("*/templates/**/*.html") if ".venv" not in path.parts)


def classes_of(template: Path) -> set[str]:
    """Return the classes that a template names completely, without those built from variables."""
    found: set[str] = set()
    for value in re.findall(r'\bclass="((?:[^"{]|\{\{.*?\}\}|\{%.*?%\})*)"', template.read_text()):
        value = re.sub(r"\{%.*?%\}", " ", value)
        found |= set(re.sub(r"\S*\{\{.*?\}\}\S*", " ", value).split())
    return found


def stylesheets() -> str:
    theirs = Path(unfold.__file__).parent / "static/unfold"
    ours = [path for path in HERE.glob("*/static/**/*.css") if ".venv" not in path.parts]
    inline = [path for path in our_templates() if "<style>" in path.read_text()]
    return "\n".join(path.read_text() for path in [*theirs.rglob("*.css"), *ours, *inline]).replace("\\", "")


def scripts() -> str:
    return "\n".join(path.read_text() for path in HERE.glob("*/static/**/*.js") if ".venv" not in path.parts)


def is_the_themes(template: Path) -> bool:
    """Return whether this is a changed copy of one of the theme's templates."""
    return "The theme's own, " in template.read_text()


def test_templates_use_only_classes_that_some_stylesheet_has():
    styles, hooks = stylesheets(), scripts()
    unknown = {
        f"{template.relative_to(HERE)}: {name}"
        for template in our_templates()
        if not is_the_themes(template)
        for name in classes_of(template)
        if f".{name}" not in styles
        and f".{name}" not in hooks
        # Elements and variants of our own blocks may lack a rule; missing utilities of the theme are errors.
        and not re.search(r"\w(__|--)\w", name)
    }

    assert unknown == set()


@pytest.mark.parametrize("path", [path for path in HERE.glob("*/templates/**/*.html") if ".venv" not in path.parts])
def test_no_template_takes_anything_from_another_machine(path):
    assert not re.search(r'(src|href|action)="(https?:)?//', path.read_text())
