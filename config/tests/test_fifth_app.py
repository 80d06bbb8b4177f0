"""A further app needs its folder and its line in INSTALLED_APPS, and the shared modules name no app."""

import re
from pathlib import Path

import pytest
import requests
from django.conf import settings
from django.test import Client

from config.tests.web_process import web_process

PROJECT = Path(__file__).resolve().parents[2]
APPS = "chats|projects|events|testrunner"
ALLOWED = {  # what is named on purpose, by file
    "config/settings.py",  # Django's lists of apps and middleware, and the settings of each app
    "config/celery.py",  # the name of a queue
    "config/roles.py",  # the one table of what each role may do
    "config/pages/my_access.py",  # the calendar address is one of the things that can sign in
    "core/list_cache/entries.py",
    "live/consumer.py",  # examples in its docstring
}


@pytest.mark.django_db(transaction=True)
def test_an_app_that_only_installed_apps_names_has_its_pages_cards_search_routes_schedule_and_report(
    tmp_path: Path, superuser
):
    client = Client()
    client.force_login(superuser)
    session = requests.Session()

    with web_process(tmp_path, DJANGO_SETTINGS_MODULE="config.tests.fifth_app.settings") as web:
        session.cookies.set(f"opsroom_session_{web.port}", client.cookies[settings.SESSION_COOKIE_NAME].value)
        front_page = session.get(f"{web.url}/admin/").text
        palette = session.get(f"{web.url}/admin/search/", params={"s": "mary", "extended": "1"}).text
        plants = session.get(f"{web.url}/plants/").json()
        seeds = session.post(f"{web.url}/seeds/")
        health = session.get(f"{web.url}/health/").json()

    assert "<span>Plants</span>" in front_page and "7 plants are thirsty" in front_page
    groups = re.findall(r"Test runner|Garden|Administration", front_page)
    assert groups.index("Test runner") < groups.index("Garden") < groups.index("Administration")
    assert "Rosemary" in palette
    assert {"name": "Garden", "rows": [{"name": "Plants watered", "number": 7}]} in plants["report"]
    assert {"water plants", "sweep broadcasts"} <= set(plants["schedule"])
    assert (seeds.status_code, seeds.text) == (202, "sown")
    assert health["parts"]["soil"]["detail"] == "moist"


@pytest.mark.parametrize("folder", ["config", "core", "live", "accounts"])
def test_the_modules_that_all_apps_share_import_and_configure_no_app_by_name(folder: str):
    named = re.compile(rf'^\s*(?:from|import) (?:{APPS})\b|"/?(?:{APPS})(?:[./][^" ]*)?"', re.MULTILINE)
    files = [path for path in (PROJECT / folder).rglob("*.py") if not {"tests", "migrations"} & set(path.parts)]

    found = {str(path.relative_to(PROJECT)): named.findall(path.read_text()) for path in files}

    assert {path: names for path, names in found.items() if names and path not in ALLOWED} == {}
