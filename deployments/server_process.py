"""Prefect's command line, with a server that takes every change on SQLite.

    python -m deployments.server_process server start --host 127.0.0.1 --port 4200

On SQLite Prefect begins most changes as a reader and asks for the right to write when it comes to writing. Where another change was
written in between, SQLite refuses that at once: the answer is 503, a button of the page says "Oops. Something went wrong", and with
several clients some wait until SQLite gives up after a minute. Here a change has the right to write from its beginning, so it waits
for the one before it. PostgreSQL has no such trouble and is left alone.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from prefect.cli import app
from prefect.server.database.configurations import SQLITE_BEGIN_MODE, AioSqliteConfiguration
from prefect.server.database.dependencies import temporary_database_config
from prefect.server.utilities.database import get_dialect
from prefect.settings import PREFECT_API_DATABASE_CONNECTION_URL
from sqlalchemy.ext.asyncio import AsyncSession, AsyncSessionTransaction


class WritersInTurn(AioSqliteConfiguration):
    """SQLite for a server whose changes wait for each other (see https://www.sqlite.org/lang_transaction.html)."""

    @asynccontextmanager
    async def begin_transaction(
        self, session: AsyncSession, with_for_update: bool = False
    ) -> AsyncGenerator[AsyncSessionTransaction, None]:
        """A change: it begins with the right to write, whatever it does first.

        Prefect opens further sessions in the middle of some changes, to read. They must not ask for the right that this one holds:
        they would wait for themselves.
        """
        inside = SQLITE_BEGIN_MODE.get() is not None
        before = SQLITE_BEGIN_MODE.set("DEFERRED" if inside and not with_for_update else "IMMEDIATE")
        try:
            async with session.begin() as transaction:
                # A session begins with its first statement; this one begins now.
                await session.connection()
                SQLITE_BEGIN_MODE.set("DEFERRED")
                yield transaction
        finally:
            SQLITE_BEGIN_MODE.reset(before)


def main() -> None:
    url = PREFECT_API_DATABASE_CONNECTION_URL.value()
    if get_dialect(url).name != "sqlite":
        app()
        return
    with temporary_database_config(WritersInTurn(connection_url=url)):
        app()


if __name__ == "__main__":
    main()
