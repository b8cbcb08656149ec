"""What Prometheus reads: counts since the daemon was started, and how things stand now."""

from __future__ import annotations

from collections.abc import Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, disable_created_metrics, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from backupd.loop_lag import LoopLag
from backupd.model import Backup, BackupMode, JobKind, JobState

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4
# When a counter began is told by when the daemon was started.
disable_created_metrics()  # type: ignore[no-untyped-call]  # The library has no type here.
# A reason that all was read begins with one of these; any other one is the source's own.
_QUARANTINED, _FOUND_WRONG = "tracking is quarantined", "tracking is wrong"


class Metrics:
    """Counts backups, and renders all that there is to tell. One object, one daemon."""

    def __init__(self, lag: LoopLag) -> None:
        self._lag = lag
        self._registry = CollectorRegistry()
        self._backups = self._counter("backups", "Published backups, by how they were read and why", "read_as", "why")
        self._mismatches = self._counter("audit_mismatches", "Audits that found tracking wrong")
        self._read = self._counter("source_read_bytes", "Bytes read from volumes by published backups")
        self._audited = self._counter("audited_bytes", "Bytes read only to see whether tracking is right")
        self._stored = self._counter("stored_bytes", "Bytes uploaded by published backups")
        self._jobs = self._gauge("jobs", "Jobs in the catalog", "kind", "state")
        self._loop_lag = self._gauge("loop_lag_seconds", "Lag of the event loop, over a minute", "quantile")

    def count(self, backup: Backup) -> None:
        """Count a backup that was published."""
        statistics = backup.statistics
        if statistics is None or backup.read_as is None:
            return
        why = _why(backup)
        self._backups.labels(read_as=backup.read_as, why=why).inc()
        self._mismatches.inc(why == "audit")
        self._read.inc(statistics.read_bytes)
        self._audited.inc(statistics.audited_bytes)
        self._stored.inc(statistics.stored_bytes)

    def text(self, jobs: Mapping[tuple[JobKind, JobState], int]) -> bytes:
        """Return everything in Prometheus' text form; ``jobs`` are the counts of now."""
        self._jobs.clear()
        for (kind, state), count in jobs.items():
            self._jobs.labels(kind=kind, state=state).set(count)
        for name, lag_s in self._lag.percentiles().items():
            self._loop_lag.labels(quantile=name).set(lag_s)
        return generate_latest(self._registry)

    def _counter(self, name: str, help_text: str, *labels: str) -> Counter:
        return Counter(f"backupd_{name}", help_text, labels, registry=self._registry)

    def _gauge(self, name: str, help_text: str, *labels: str) -> Gauge:
        return Gauge(f"backupd_{name}", help_text, labels, registry=self._registry)


def _why(backup: Backup) -> str:
    """Return why the volume was read as it was, in one of a few words: the reason itself names ids."""
    reason = backup.full_read_reason
    if reason is None:
        return "full" if backup.mode is BackupMode.FULL else "tracked"
    if reason.startswith(_FOUND_WRONG):
        return "audit"
    return "quarantine" if reason.startswith(_QUARANTINED) else "not_told"
