"""Check the references of messages to chats and broadcasts once per statement instead of once per row.

A foreign key runs one query and takes one lock for each row that is inserted: two thirds of the processor time of a
fan-out. These triggers make the same promise for a whole statement: a message's chat and broadcast exist, and neither
can be deleted while it has messages.

1. An INSERT locks its chats in the order of their ids, then its broadcasts, with the lock of a foreign key (KEY SHARE),
   and raises an IntegrityError if one does not exist.
2. A DELETE of a chat or a broadcast waits for these locks. Its trigger then raises an error if messages exist. It reads
   with a snapshot of its own, which contains the messages that the DELETE has waited for. Only READ COMMITTED takes
   that snapshot, so the other isolation levels are refused.
3. A message keeps its chat and its broadcast, and these keep their ids.
"""

from django.db import migrations, models

# Planned once per connection, perhaps for one row and later used for 25,000, or the other way round: an index lookup
# per row is right for both.
PLAN = "SET search_path FROM CURRENT SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off"

CHECK_INSERTED = f"""
CREATE FUNCTION chats_message_check_references() RETURNS trigger LANGUAGE plpgsql {PLAN} AS $$
DECLARE
    referenced bigint;
    existing bigint;
BEGIN
    SELECT count(DISTINCT chat_id) INTO referenced FROM added;
    PERFORM FROM (SELECT DISTINCT chat_id FROM added ORDER BY chat_id) AS reference
        JOIN chats_chat ON chats_chat.id = reference.chat_id FOR KEY SHARE OF chats_chat;
    GET DIAGNOSTICS existing = ROW_COUNT;
    IF existing < referenced THEN
        RAISE foreign_key_violation USING MESSAGE = 'A message''s chat does not exist',
            TABLE = 'chats_message', CONSTRAINT = 'chats_message_chat_exists';
    END IF;

    SELECT count(DISTINCT broadcast_id) INTO referenced FROM added;
    PERFORM FROM (SELECT DISTINCT broadcast_id FROM added ORDER BY broadcast_id) AS reference
        JOIN chats_broadcast ON chats_broadcast.id = reference.broadcast_id FOR KEY SHARE OF chats_broadcast;
    GET DIAGNOSTICS existing = ROW_COUNT;
    IF existing < referenced THEN
        RAISE foreign_key_violation USING MESSAGE = 'A message''s broadcast does not exist',
            TABLE = 'chats_message', CONSTRAINT = 'chats_message_broadcast_exists';
    END IF;
    RETURN NULL;
END $$;

CREATE TRIGGER chats_message_references AFTER INSERT ON chats_message
    REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION chats_message_check_references();
"""

CHECK_DELETED = f"""
CREATE FUNCTION {{table}}_keep_referenced() RETURNS trigger LANGUAGE plpgsql {PLAN} AS $$
BEGIN
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        RAISE feature_not_supported USING MESSAGE = 'Rows of {{table}} are deleted at READ COMMITTED only';
    END IF;
    PERFORM FROM removed JOIN chats_message ON chats_message.{{column}} = removed.id LIMIT 1;
    IF FOUND THEN
        RAISE foreign_key_violation USING MESSAGE = 'A deleted row of {{table}} still has messages',
            TABLE = 'chats_message', CONSTRAINT = '{{rule}}';
    END IF;
    RETURN NULL;
END $$;

CREATE TRIGGER {{table}}_referenced AFTER DELETE ON {{table}}
    REFERENCING OLD TABLE AS removed FOR EACH STATEMENT EXECUTE FUNCTION {{table}}_keep_referenced();
"""

KEEP = """
CREATE FUNCTION chats_refuse_new_reference() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE foreign_key_violation USING MESSAGE = 'The ids of ' || TG_TABLE_NAME || ' and its references do not change',
        TABLE = TG_TABLE_NAME, CONSTRAINT = TG_NAME;
END $$;

CREATE TRIGGER chats_message_keeps_its_chat BEFORE UPDATE ON chats_message FOR EACH ROW
    WHEN (OLD.chat_id <> NEW.chat_id OR OLD.broadcast_id IS DISTINCT FROM NEW.broadcast_id)
    EXECUTE FUNCTION chats_refuse_new_reference();
CREATE TRIGGER chats_chat_keeps_its_id BEFORE UPDATE ON chats_chat FOR EACH ROW
    WHEN (OLD.id <> NEW.id) EXECUTE FUNCTION chats_refuse_new_reference();
CREATE TRIGGER chats_broadcast_keeps_its_id BEFORE UPDATE ON chats_broadcast FOR EACH ROW
    WHEN (OLD.id <> NEW.id) EXECUTE FUNCTION chats_refuse_new_reference();
"""

KEEP_TRUNCATED = f"""
CREATE FUNCTION chats_keep_truncated() RETURNS trigger LANGUAGE plpgsql {PLAN} AS $$
BEGIN
    IF EXISTS (SELECT FROM chats_message) THEN
        RAISE foreign_key_violation USING MESSAGE = TG_TABLE_NAME || ' cannot be emptied while messages exist';
    END IF;
    RETURN NULL;
END $$;

CREATE TRIGGER chats_chat_truncated AFTER TRUNCATE ON chats_chat EXECUTE FUNCTION chats_keep_truncated();
CREATE TRIGGER chats_broadcast_truncated AFTER TRUNCATE ON chats_broadcast EXECUTE FUNCTION chats_keep_truncated();
"""

CREATE = (
    CHECK_INSERTED
    + CHECK_DELETED.format(table="chats_chat", column="chat_id", rule="chats_message_chat_exists")
    + CHECK_DELETED.format(table="chats_broadcast", column="broadcast_id", rule="chats_message_broadcast_exists")
    + KEEP
    + KEEP_TRUNCATED
)
DROP = """
DROP FUNCTION chats_message_check_references, chats_chat_keep_referenced, chats_broadcast_keep_referenced,
    chats_refuse_new_reference, chats_keep_truncated CASCADE;
"""


class Migration(migrations.Migration):
    dependencies = [("chats", "0005_missed")]

    operations = [
        migrations.RunSQL(CREATE, DROP),
        migrations.AlterField(
            model_name="message",
            name="chat",
            field=models.ForeignKey(
                on_delete=models.deletion.CASCADE,
                db_constraint=False,
                db_index=False,
                related_name="messages",
                to="chats.chat",
            ),
        ),
        migrations.AlterField(
            model_name="message",
            name="broadcast",
            field=models.ForeignKey(
                on_delete=models.deletion.PROTECT,
                blank=True,
                db_constraint=False,
                db_index=False,
                null=True,
                related_name="messages",
                to="chats.broadcast",
            ),
        ),
    ]
