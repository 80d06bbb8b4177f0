from django.core.validators import RegexValidator
from django.db import migrations, models
from django.db.models import Q

VARIABLE_NAME = r"^[A-Za-z_][A-Za-z0-9_]*$"
OLD = r"^(TEST_ENVIRONMENT_.*|PYTEST.*|PYTHON.*|LD_.*|PATH|HOME|TMPDIR|OPSROOM.*)$"
NEW = r"^(TEST_ENVIRONMENT_.*|PYTHON.*|PYTEST.*|LD_.*|DYLD_.*|OPSROOM.*|PATH|HOME|TMPDIR)$"


def constraint(ours):
    return models.CheckConstraint(
        condition=Q(name__regex=VARIABLE_NAME) & ~Q(name__regex=ours), name="testrunner_environmentvariable_name"
    )


class Migration(migrations.Migration):
    dependencies = [("testrunner", "0005_durations")]

    operations = [
        migrations.RemoveConstraint("environmentvariable", "testrunner_environmentvariable_name"),
        # They never reached a test.
        migrations.RunSQL("DELETE FROM testrunner_environmentvariable WHERE name ~ '^DYLD_'", migrations.RunSQL.noop),
        migrations.AddConstraint("environmentvariable", constraint(NEW)),
        migrations.AlterField(
            "environmentvariable",
            "name",
            models.CharField(
                max_length=100,
                validators=[
                    RegexValidator(VARIABLE_NAME, "Letters, digits and _ only, and no digit first."),
                    RegexValidator(NEW, "The test runner sets this one itself.", inverse_match=True),
                ],
            ),
        ),
    ]
