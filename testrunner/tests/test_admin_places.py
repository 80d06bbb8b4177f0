"""Admin pages: the board of environments, one environment, and the file browser."""

import re
from datetime import timedelta
from pathlib import Path

import pytest
from django.contrib.auth.models import Permission
from django.core.files.uploadedfile import SimpleUploadedFile
from django.utils import timezone

from testrunner.factories import RunFactory
from testrunner.models import EnvironmentVariable, TestEnvironment, TestFile

pytestmark = pytest.mark.django_db
BOARD = "/admin/testrunner/testenvironment/"
FILES = "/admin/testrunner/testfile/"
GOOD = b"def test_it():\n    assert '<b>'\n"


@pytest.fixture(autouse=True)
def uploads(tmp_path: Path, settings) -> Path:
    settings.TEST_UPLOADS_DIR = str(tmp_path / "uploads")
    return tmp_path / "uploads"


@pytest.fixture
def upload(as_tester):
    def send(name: str = "test_it.py", content: bytes = GOOD, **more):
        return as_tester.post(f"{FILES}upload/", {"file": SimpleUploadedFile(name, content), **more})

    return send


@pytest.fixture
def reserved(colleague) -> TestEnvironment:
    now = timezone.now()
    TestEnvironment.objects.filter(pk=17).update(
        reserved_by=colleague,
        reserved_for=timedelta(hours=1),
        reserved_from=now,
        reserved_until=now + timedelta(hours=1),
    )
    return TestEnvironment.objects.get(pk=17)


# --- Environments -----------------------------------------------------------------------------------
def test_a_hundred_tiles_tell_who_is_in_and_who_waits(as_viewer, reserved, django_assert_max_num_queries):
    RunFactory(running=True, environment_id=3, requested_by="the night shift")
    RunFactory(environment_id=3)
    TestEnvironment.objects.filter(pk=4).update(enabled=False)

    with django_assert_max_num_queries(14):
        page = as_viewer.get(BOARD).content.decode()

    assert page.count('class="tile tile--') == 100
    assert "the night shift" in page and "1 waiting" in page and "cole until" in page
    assert [page.count(f'class="tile tile--{state}"') for state in ("free", "busy", "reserved", "disabled")] == [
        97,
        1,
        1,
        1,
    ]


def test_the_tiles_alone_are_a_fragment_for_the_live_page(as_viewer):
    assert (
        as_viewer.get(f"{BOARD}tiles/")
        .content.decode()
        .strip()
        .startswith('<div id="testrunner-tiles" data-live="environments"')
    )


def test_an_environment_shows_its_queue_and_history_and_no_secret(as_viewer):
    EnvironmentVariable.objects.create(environment_id=17, name="API_KEY", value="hunter2", secret=True)
    EnvironmentVariable.objects.create(environment_id=17, name="API_URL", value="http://127.0.0.1/")
    RunFactory(success=True)
    RunFactory(running=True)
    RunFactory()

    page = as_viewer.get(f"{BOARD}17/change/").content.decode()

    assert "position 1" in page and "Past runs" in page and "http://127.0.0.1/" in page
    assert "API_KEY" in page and "hunter2" not in page


def test_an_environment_is_reserved_and_given_back_after_a_question(as_tester, tester):
    RunFactory(environment_id=17)

    question = as_tester.get(f"{BOARD}17/reserve/").content.decode()
    as_tester.post(f"{BOARD}17/reserve/", {"minutes": 60, "note": "release 4"})

    assert "1 run is waiting there now." in question
    page = as_tester.get(f"{BOARD}17/change/").content.decode()
    assert "Reserved by <strong>tess</strong>" in page and "release 4" in page
    as_tester.post(f"{BOARD}17/release/")
    assert not TestEnvironment.objects.get(pk=17).is_reserved()


def test_a_reservation_of_no_length_is_refused(as_tester):
    page = as_tester.post(f"{BOARD}17/reserve/", {"minutes": 7}).content.decode()

    assert "Select a valid choice" in page
    assert not TestEnvironment.objects.get(pk=17).is_reserved()


def test_somebody_elses_reservation_is_released_with_their_name_in_the_question(as_tester, reserved):
    assert "cole reserved it." in as_tester.get(f"{BOARD}17/release/").content.decode()

    as_tester.post(f"{BOARD}17/release/")

    reserved.refresh_from_db()
    assert not reserved.is_reserved()
    assert reserved.history.first().history_user.username == "tess"


def test_an_environment_with_an_active_run_is_not_closed(as_tester):
    RunFactory(running=True, environment_id=17)

    page = as_tester.post(f"{BOARD}17/disable/", follow=True).content.decode()

    assert "wait until it ends, or cancel it" in page
    assert TestEnvironment.objects.get(pk=17).enabled
    as_tester.post(f"{BOARD}18/disable/")
    assert not TestEnvironment.objects.get(pk=18).enabled
    as_tester.post(f"{BOARD}18/enable/")
    assert TestEnvironment.objects.get(pk=18).enabled


def test_a_viewer_changes_nothing(as_viewer):
    for verb in ("reserve", "release", "enable", "disable"):
        assert as_viewer.post(f"{BOARD}17/{verb}/").status_code == 403, verb
    assert as_viewer.post(f"{BOARD}17/settings/", {"name": "mine"}).status_code == 403


def settings_form(*variables: dict) -> dict:
    form = {"name": "Staging", "description": "", "project": "", "variables-INITIAL_FORMS": "0"}
    form |= {
        "variables-TOTAL_FORMS": str(len(variables)),
        "variables-MIN_NUM_FORMS": "0",
        "variables-MAX_NUM_FORMS": "1000",
    }
    for number, variable in enumerate(variables):
        form |= {f"variables-{number}-{name}": value for name, value in variable.items()}
    return form


def test_a_secret_is_kept_when_nothing_is_typed_and_never_sent_back(as_tester):
    as_tester.post(f"{BOARD}17/settings/", settings_form({"name": "API_KEY", "value": "hunter2", "secret": "on"}))
    kept = EnvironmentVariable.objects.get()
    page = as_tester.get(f"{BOARD}17/settings/").content.decode()
    again = {"id": str(kept.pk), "environment": "17", "name": "API_KEY", "value": "", "secret": "on"}

    as_tester.post(f"{BOARD}17/settings/", settings_form(again) | {"variables-INITIAL_FORMS": "1"})

    kept.refresh_from_db()
    assert (kept.value, kept.secret) == ("hunter2", True)
    assert TestEnvironment.objects.get(pk=17).name == "Staging"
    assert "hunter2" not in page


def test_a_secret_is_not_shown_by_unticking_it(as_tester):
    kept = EnvironmentVariable.objects.create(environment_id=17, name="API_KEY", value="hunter2", secret=True)
    open_it = {"id": str(kept.pk), "environment": "17", "name": "API_KEY", "value": ""}

    page = as_tester.post(f"{BOARD}17/settings/", settings_form(open_it) | {"variables-INITIAL_FORMS": "1"})

    kept.refresh_from_db()
    assert kept.secret and "is not shown" in page.content.decode() and "hunter2" not in page.content.decode()


@pytest.mark.parametrize("right", ["view", "add", "delete"])
def test_a_secret_is_not_shown_to_those_who_may_not_change_it(as_viewer, viewer, right):
    for name in {"view", right}:
        viewer.user_permissions.add(Permission.objects.get(codename=f"{name}_environmentvariable"))
    EnvironmentVariable.objects.create(environment_id=17, name="API_KEY", value="hunter2", secret=True)
    EnvironmentVariable.objects.create(environment_id=17, name="API_URL", value="http://127.0.0.1/")

    page = as_viewer.get(f"{BOARD}17/settings/").content.decode()

    assert "API_KEY" in page and "hunter2" not in page
    assert "http://127.0.0.1/" in page


def test_a_key_of_several_lines_is_kept_as_it_is(as_tester):
    key = "-----BEGIN KEY-----\r\nMIIEow\r\n-----END KEY-----"

    page = as_tester.get(f"{BOARD}17/settings/").content.decode()
    as_tester.post(f"{BOARD}17/settings/", settings_form({"name": "KEY", "value": key}))

    assert re.search(r'<textarea name="variables-__prefix__-value"', page)
    assert EnvironmentVariable.objects.get().value == key.replace("\r\n", "\n")


# --- Files ------------------------------------------------------------------------------------------
def test_the_browser_shows_every_root_and_who_uploaded_what(as_tester, upload):
    upload(directory="smoke")

    page = as_tester.get(FILES).content.decode()

    assert "Uploads / smoke" in page and "Sample tests" in page and "testrunner/tests" in page
    assert "· tess" in page


def test_an_upload_in_place_comes_back_as_a_chosen_leaf(upload):
    answer = upload(directory="smoke").json()

    assert answer["path"] == "uploads/smoke/test_it.py"
    assert f'value="{answer["id"]}" checked' in answer["leaf"]


def test_a_refused_upload_says_why_and_a_taken_name_asks_first(upload):
    wrong, first, again = upload("test_it.exe"), upload(), upload(content=b"x = 1\n")

    assert (wrong.status_code, wrong.json()["field"]) == (400, "file")
    assert (first.status_code, again.status_code, again.json()["taken"]) == (201, 409, True)
    assert upload(content=b"x = 1\n", overwrite="yes").status_code == 201


def test_who_may_look_may_not_upload_nor_delete(as_viewer, upload):
    file = TestFile.objects.get(pk=upload().json()["id"])

    assert as_viewer.post(f"{FILES}upload/", {"file": SimpleUploadedFile("test_x.py", GOOD)}).status_code == 403
    assert as_viewer.post(f"{FILES}{file.pk}/delete/").status_code == 403
    assert "Upload a test" not in as_viewer.get(FILES).content.decode()


def test_a_files_text_is_shown_as_text(as_viewer, upload):
    file = upload().json()["id"]

    page = as_viewer.get(f"{FILES}{file}/change/").content.decode()

    assert "assert &#x27;&lt;b&gt;&#x27;" in page


def test_a_file_is_deleted_after_a_question_and_is_a_page_no_more(as_tester, upload, uploads):
    file = upload(directory="smoke").json()["id"]

    question = as_tester.get(f"{FILES}{file}/delete/").content.decode()
    as_tester.post(f"{FILES}{file}/delete/")

    assert "This cannot be undone." in question
    assert not (uploads / "smoke" / "test_it.py").exists()
    assert as_tester.get(f"{FILES}{file}/change/").status_code == 404


def test_a_file_that_vanished_says_so(as_viewer, upload, uploads):
    file = upload().json()["id"]
    (uploads / "test_it.py").unlink()

    assert "is not there any more" in as_viewer.get(f"{FILES}{file}/change/").content.decode()
