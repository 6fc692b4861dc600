from __future__ import annotations


def test_smoke(database, pooled_database, as_role):
    from app.db import connect
    from sqlalchemy import text
    e = connect.engine_for(pooled_database, application_name="x")
    with e.connect() as c:
        print(c.execute(text("select current_user, version(), count(*) from tag")).one())
        assert connect.is_pooled(c.connection)
    e.dispose()
    e = connect.engine_for(as_role(database, "app_migrator"), application_name="x")
    with e.connect() as c:
        print(c.execute(text("select current_user, version(), count(*) from tag")).one())
        assert not connect.is_pooled(c.connection)
        assert 0
    e.dispose()
