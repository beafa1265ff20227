"""What `strangler cdc lag` says of a stream that consumes topics."""

import time
from datetime import UTC, datetime

from cdc.changelog.debezium_topics.lag import TopicLag, TopicsLag, read_topics_lag
from cdc.changelog.kafka.options import KafkaOptions
from cdc.errors import StreamAlert
from cdc.link import stream_name
from commands.consume import stream_word
from commands.output import print_error, print_json, print_rows, stderr


def report(kafka: KafkaOptions, target_dsn: str, name: str, *, interval_s: float | None, as_json: bool) -> None:
    """Once, or every `interval_s`. Raises `StreamAlert` for what somebody must be told, and what reading raises."""
    stream = stream_name(stream_word(name), "forward")
    while True:
        seen = read_topics_lag(kafka, target_dsn, stream)
        _show(seen, as_json=as_json)
        if interval_s is None:
            _refuse(alerts(seen))
            return
        time.sleep(interval_s)


def alerts(seen: TopicsLag) -> list[StreamAlert]:
    """What somebody must be told, the worst last."""
    thing = f"stream {seen.stream}"
    found = [
        StreamAlert(
            thing=thing,
            reason=f"{rows} rows of {table} are parked",
            mend="look at them in the target's parked rows, then retry or skip them",
        )
        for table, rows in sorted(seen.parked.items())
    ]
    if seen.state == "silent":
        found.append(
            StreamAlert(
                thing=thing, reason="its worker has said nothing for 15 s", mend="start `strangler cdc consume` again"
            )
        )
    if seen.state == "stopped":
        error = seen.error or {}
        found.append(
            StreamAlert(
                thing=thing,
                reason=f"has stopped: {error.get('thing', 'unknown')}: {error.get('reason', 'no reason was recorded')}",
                mend=str(error.get("mend", "see the worker's log")),
            )
        )
    return found + [
        StreamAlert(thing=f"topic {each.topic}", reason=what, mend="begin the stream anew (`cdc consume --forget`)")
        for each in seen.topics
        if (what := _trouble(each))
    ]


def _trouble(topic: TopicLag) -> str:
    if topic.gone:
        return "is not there any more"
    if topic.made_anew:
        return "ends before the stream's offset: it was removed and made anew"
    return f"has lost {topic.lost} records that were never applied" if topic.lost else ""


def _refuse(raised: list[StreamAlert]) -> None:
    for error in raised[:-1]:
        print_error(error)
    for error in raised[-1:]:
        raise error


def _show(seen: TopicsLag, *, as_json: bool) -> None:
    applied = {table: datetime.fromtimestamp(at_s, UTC) for table, at_s in sorted(seen.last_applied.items())}
    stream = {
        "stream": seen.stream,
        "state": seen.state,
        "records_waiting": seen.waiting,
        "transactions": seen.transactions,
        "events": seen.events,
        "newest_commit_applied": seen.source_time,
    }
    topics = [
        {
            "topic": each.topic,
            "partitions": each.partitions,
            "records_waiting": each.waiting,
            "trouble": _trouble(each) or None,
        }
        for each in seen.topics
    ]
    tables = [
        {"table": name, "last_applied": applied.get(name), "parked_rows": seen.parked.get(name, 0)}
        for name in sorted(applied.keys() | seen.parked.keys())
    ]
    if as_json:
        said = [{"thing": each.thing, "reason": each.reason, "mend": each.mend} for each in alerts(seen)]
        print_json([{**stream, "error": seen.error, "topics": topics, "tables": tables, "alerts": said}])
        return
    for title, rows in (("streams of topics", [stream]), ("topics", topics), ("tables", tables)):
        if rows:
            headings = tuple(name.replace("_", " ") for name in rows[0])
            print_rows(headings, [tuple(row.values()) for row in rows], title=title)
    if seen.error:
        stderr.print(f"{seen.stream}: {seen.error.get('thing')}: {seen.error.get('reason')}", markup=False)
