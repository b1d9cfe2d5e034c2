"""Entry point of Alembic: the connection comes from `Database`, which alone runs migrations."""

from alembic import context

context.configure(connection=context.config.attributes["connection"], render_as_batch=True)
with context.begin_transaction():
    context.run_migrations()
