"""What is known of a move's two streams: their databases, mappings, schemas and links."""

from dataclasses import dataclass, replace
from functools import cached_property

from cdc.link import Direction, LinkLimits, LinkSpec, stream_name
from cdc.mapping.compiled import CompiledMapping
from cdc.mapping.model import MoveMapping
from cdc.schema import reflect
from cdc.schema_changes.evolution import StreamSchema
from cdc.schema_changes.policy import policy_of
from cdc.schema_changes.watch import WatchedSchema
from cdc.tables import Schema
from commands.change_logs import ChangeLogs
from commands.layout import Layout
from commands.mapping import move_mapping
from migration_plans.plan import Plan
from migration_plans.ports import Side
from strangler.settings import Settings

DIRECTIONS: tuple[Direction, Direction] = ("forward", "reverse")


@dataclass(frozen=True, kw_only=True, slots=True)
class Ends:
    """One direction: its databases and its mapping."""

    source_dsn: str
    target_dsn: str
    mapping: MoveMapping


class MoveLinks:
    """Both directions of one move, as plan, settings and the databases' schemas have them."""

    def __init__(self, settings: Settings, plan: Plan) -> None:
        self.settings = settings
        self.plan = plan
        self.layout = Layout.of(settings)
        self.change_logs = ChangeLogs(settings)
        self._dsn: dict[Side, str] = {
            "legacy": settings.legacy.database,
            "service": settings.service(plan.service).database,
        }
        self._mappers: dict[Direction, CompiledMapping] = {}
        self._stream_schemas: dict[Direction, StreamSchema] = {}

    @cached_property
    def mapping(self) -> MoveMapping:
        return move_mapping(self.plan)

    def ends(self, direction: Direction) -> Ends:
        if direction == "forward":
            return Ends(source_dsn=self._dsn["legacy"], target_dsn=self._dsn["service"], mapping=self.mapping)
        return Ends(source_dsn=self._dsn["service"], target_dsn=self._dsn["legacy"], mapping=self.mapping.inverse())

    def stream(self, direction: Direction) -> str:
        return stream_name(self.plan.move, direction)

    def schemas(self) -> tuple[Schema, Schema]:
        """(legacy, service), as they are now."""
        return (
            reflect(self._dsn["legacy"], self.mapping.source_tables),
            reflect(self._dsn["service"], self.mapping.target_tables),
        )

    def links(self) -> tuple[LinkSpec, LinkSpec]:
        """Forward and reverse, bound to the schemas as they are now."""
        self._mappers.clear()
        for direction in DIRECTIONS:
            self.schema(direction).remember()
        return self._link("forward", self.compiled("forward")), self._link("reverse", self.compiled("reverse"))

    def compiled(self, direction: Direction) -> CompiledMapping:
        """Bound to the schemas as they were when first asked for: reflecting has no place inside a cutover's hold."""
        if direction not in self._mappers:
            self._mappers[direction] = self.schema(direction).mapper()
        return self._mappers[direction]

    def forget_mapper(self, direction: Direction) -> None:
        """The schema moved on: `compiled` binds to it anew."""
        self._mappers.pop(direction, None)

    def schema(self, direction: Direction) -> StreamSchema:
        """The forms that a direction's source tables have had. The way back goes by the mapping that came forward."""
        if direction not in self._stream_schemas:
            ends = self.ends(direction)
            self._stream_schemas[direction] = StreamSchema(
                stream=self.stream(direction),
                direction=direction,
                source_dsn=ends.source_dsn,
                target_dsn=ends.target_dsn,
                plan=(lambda: self.mapping)
                if direction == "forward"
                else (lambda: self.schema("forward").mapping().inverse()),
                policy=policy_of(self.settings.stream.on_schema_change),
            )
        return self._stream_schemas[direction]

    def link(self, direction: Direction, *, takeover_s: float) -> LinkSpec:
        """One direction, for a session that gives up on a stream that a worker runs after `takeover_s`."""
        link = self._link(direction, self.compiled(direction))
        return replace(link, limits=replace(link.limits, takeover_s=takeover_s))

    def target_dsn(self, direction: Direction) -> str:
        return self.ends(direction).target_dsn

    def _link(self, direction: Direction, mapper: CompiledMapping) -> LinkSpec:
        ends, limits = self.ends(direction), self.settings.stream
        return LinkSpec(
            move=self.plan.move,
            direction=direction,
            source_dsn=ends.source_dsn,
            target_dsn=ends.target_dsn,
            on_bad_row=limits.on_bad_row,
            log_folder=self.layout.change_log(self.plan.move, direction),
            mapper=mapper,
            evolution=WatchedSchema(self.schema(direction)),
            source_keys={table: mapper.source_key(table) for table in mapper.source_tables},
            limits=LinkLimits(
                batch_events=limits.batch_events,
                copy_chunk_rows=limits.copy_chunk_rows,
                log_retention_bytes=limits.log_retention_bytes,
            ),
        )

    @property
    def move(self) -> str:
        return self.plan.move

    def dsn(self, side: Side) -> str:
        return self._dsn[side]
