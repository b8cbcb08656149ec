"""The catalog: volumes, backup types, backups, jobs and attempts in a database."""
