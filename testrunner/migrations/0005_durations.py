from django.db import migrations, models
from django.db.models import Q

# Whatever a hostile report put there before: Infinity and NaN count as the most.
CLAMP = "UPDATE testrunner_testresult SET duration = greatest(least(duration, 604800), 0) WHERE NOT duration BETWEEN 0 AND 604800"


class Migration(migrations.Migration):
    dependencies = [("testrunner", "0004_results")]

    operations = [
        migrations.RunSQL(CLAMP, migrations.RunSQL.noop),
        migrations.AddConstraint(
            "testresult",
            models.CheckConstraint(
                condition=Q(duration__gte=0, duration__lte=604800.0), name="testrunner_testresult_duration"
            ),
        ),
    ]
