from django.contrib.auth.models import User


def test_rows_can_be_written(db):
    User.objects.create_user("somebody")

    assert User.objects.count() == 1
