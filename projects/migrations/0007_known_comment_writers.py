from django.db import migrations

# Until now who could change a comment followed from its author's name: that stays so for old comments.
KNOWN = """
    UPDATE projects_comment AS comment SET written_by_id = person.id, writer = person.username
    FROM auth_user AS person WHERE person.username = comment.author AND comment.written_by_id IS NULL
"""


class Migration(migrations.Migration):
    dependencies = [
        ("projects", "0006_comment_writers"),
    ]

    operations = [migrations.RunSQL(KNOWN, migrations.RunSQL.noop)]
