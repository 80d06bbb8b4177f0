import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
        ("projects", "0005_feed_ends_with_password"),
    ]

    operations = [
        migrations.AddField(
            "comment",
            "written_by",
            models.ForeignKey(
                db_index=False,
                editable=False,
                null=True,
                on_delete=django.db.models.deletion.SET_NULL,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.AddField(
            "comment", "writer", models.CharField(blank=True, default="", editable=False, max_length=150)
        ),
        migrations.AddField(
            "comment", "edited_at", models.DateTimeField(editable=False, null=True, verbose_name="edited")
        ),
        migrations.AddField(
            "comment", "edited_by", models.CharField(blank=True, default="", editable=False, max_length=150)
        ),
        migrations.AddIndex(
            "comment",
            models.Index(
                condition=models.Q(("written_by__isnull", False)),
                fields=["written_by"],
                name="projects_comment_by_writer",
            ),
        ),
    ]
