"""Support files that are added to a run with a chosen test."""

from pathlib import Path

import pytest

from testrunner import services
from testrunner.files import discovery
from testrunner.files.support_files import support_files_of
from testrunner.models import Root, TestFile

pytestmark = pytest.mark.django_db
LAY = [
    "conftest.py",
    "helpers.py",
    "test_top.py",
    "unused/test_other.py",
    "unused/helpers.py",
    "shop/__init__.py",
    "shop/conftest.py",
    "shop/data.json",
    "shop/smoke/test_login.py",
    "shop/smoke/logout_test.py",
    "shop/smoke/helpers.py",
    "shop/smoke/data/users.csv",
    "shop/smoke/lib/__init__.py",
    "shop/smoke/lib/deep/api.py",
    "shop/smoke/more/test_more.py",
    "shop/smoke/more/helpers.py",
    "shop/other/readme.md",
]


@pytest.fixture
def uploads(tmp_path: Path, settings) -> Path:
    settings.TEST_UPLOADS_DIR = str(tmp_path / "uploads")
    for path in LAY:
        file = tmp_path / "uploads" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("")
    discovery.refresh()
    return tmp_path / "uploads"


def chosen(*paths: str) -> list[TestFile]:
    return [TestFile.objects.get(root=Root.UPLOADS, path=path) for path in paths]


def test_helpers_data_and_conftest_of_the_folder_and_above_come_along(uploads: Path):
    found = [file.path for file in support_files_of(chosen("shop/smoke/test_login.py"))]

    assert found == [
        "conftest.py",
        "helpers.py",
        "shop/__init__.py",
        "shop/conftest.py",
        "shop/data.json",
        "shop/smoke/data/users.csv",
        "shop/smoke/helpers.py",
        "shop/smoke/lib/__init__.py",
        "shop/smoke/lib/deep/api.py",
    ]


def test_what_is_chosen_does_not_come_along_as_well(uploads: Path):
    found = [file.path for file in support_files_of(chosen("test_top.py", "helpers.py"))]

    assert found == ["conftest.py"]


def test_opsrooms_own_tests_take_nothing_along(uploads: Path):
    own = TestFile.objects.filter(root=Root.PROJECT).first()

    assert support_files_of([own]) == []


def test_a_run_and_its_rerun_name_the_files_that_came_along(uploads: Path, tester, tester_api, environment):
    (uploads / "shop/smoke/helpers.py").write_text("x = 1\n")
    discovery.refresh()
    (file,) = chosen("shop/smoke/test_login.py")

    answer = tester_api.post("/test-runs/", {"environment": environment.pk, "files": [file.pk]})

    assert answer.status_code == 201, answer.json()
    snapshot = {each["path"]: each["comes_along"] for each in answer.json()["snapshot"]}
    assert answer.json()["files"] == [file.pk]
    assert snapshot["shop/smoke/test_login.py"] is False and snapshot["shop/smoke/helpers.py"] is True
    run = tester.test_runs.get()
    services.cancel_run(run=run, user=tester)
    again = services.rerun(run=run, user=tester)
    for each in (run, again):
        assert {file.path: file.comes_along for file in each.files.all()} == snapshot


def test_data_cannot_be_chosen(uploads: Path, tester_api, environment):
    (file,) = chosen("shop/data.json")

    answer = tester_api.post("/test-runs/", {"environment": environment.pk, "files": [file.pk]})

    assert answer.status_code == 400
    assert "is not a Python file" in answer.json()["errors"]["files"][0]


def test_the_page_of_a_new_run_offers_python_files_and_shows_what_else_is_there(uploads: Path, as_tester):
    (data,) = chosen("shop/data.json")
    (helpers,) = chosen("helpers.py")

    page = as_tester.get("/admin/testrunner/testrun/add/").content.decode()

    assert f'value="{helpers.pk}"' in page and f'value="{data.pk}"' not in page
    assert "data.json" in page and "included ·" in page
