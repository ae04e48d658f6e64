"""PostgreSQL's client programs: there, and not older than the server."""

from __future__ import annotations

from django.db import Error as DatabaseError

from deploy.conf import DeployConf
from deploy.databases.client_tools import find_tool
from deploy.reporting.findings import Refusal
from deploy.reporting.report import Step

from .check import Check
from .connection import engine, reading


class ClientToolsCheck(Check):
    name = "client_tools"
    looks_at = "pg_dump and pg_restore, not older than the server"

    def run(self, conf: DeployConf, step: Step) -> None:
        if engine(conf) == "sqlite":
            step.skip("SQLite needs no client programs")
            return
        try:
            with reading(conf) as connection:
                server = connection.get_database_version()[0]
        except DatabaseError:
            step.skip("the server's version is not known: see the check database")
            return
        step.facts["server"] = server
        for program in ("pg_dump", "pg_restore"):
            try:
                step.facts[program] = find_tool(program, server_major=server, pg_bin=conf.pg_bin).major
            except Refusal as refusal:
                step.extend(refusal.findings)
