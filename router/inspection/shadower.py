"""After the client has its answer: ask the other side, compare, ask again where they differ, record.

Never raises into the proxy, never waits in its way; what cannot be done is counted with its reason.
"""

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from random import Random

from router.compare import Answer, CompareRules, Comparison, Outcome, OutcomeClass, Verdict, compare
from router.compare.decoding import decoded_body
from router.compare.errors import OversizedBody, UnreadableBody
from router.compare.tree import parse
from router.compare.walk import reached
from router.inspection.exchange import Exchange
from router.inspection.policy import InspectionPolicy, PolicyFile
from router.inspection.settings import InspectionSettings
from router.inspection.side_client import SideClient
from router.noise import Classification, ClassifiedOutcome, NoiseDecision, Round, classify
from router.parallel_values import ExchangeSample, NotCompared, Observation, PairedSample, Record
from router.sample_redaction import redacted_answer, redacted_outcome, redacted_target
from strangler.clock import Clock

_log = logging.getLogger(__name__)
_COMPARABLE = (Verdict.MATCH, Verdict.MISMATCH, Verdict.PARTIAL)
_UNSEEN = Outcome(path="$", kind=OutcomeClass.SHAPE, at="$")
"""Stands for whatever a truncated comparison did not look at."""
REACHED_EVERY = 10
"""One in so many equal pairs is walked to see which masks still have a place."""


class Shadower:
    """Owns the tasks, the two pools and the comparing thread. All methods belong to one event loop."""

    def __init__(
        self,
        *,
        settings: InspectionSettings,
        policies: PolicyFile,
        legacy: SideClient,
        service: SideClient,
        record: Callable[[Record], None],
        clock: Clock,
        random: Random,
    ) -> None:
        self._settings = settings
        self._policies = policies
        self._legacy = legacy
        self._service = service
        self._record = record
        self._clock = clock
        self._random = random
        self._tasks: set[asyncio.Task[None]] = set()
        self._confirming = 0
        self._equal_pairs = 0
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="compare")

    def submit(self, exchange: Exchange) -> None:
        """Shadow this exchange unless there is no room; returns at once."""
        if len(self._tasks) >= self._settings.max_inflight:
            self._dropped("too-many-in-flight", exchange)
            return
        task = asyncio.get_running_loop().create_task(self._guarded(exchange))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _dropped(self, reason: str, exchange: Exchange) -> None:
        self._record(
            NotCompared(
                at=self._clock.now(), endpoint=exchange.endpoint, kind="dropped", reason=reason, move=exchange.move
            )
        )

    async def close(self, patience_s: float) -> None:
        """Let what is under way end; what does not is cut off and counted."""
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=patience_s)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        self._thread.shutdown()
        await self._legacy.close()
        await self._service.close()

    async def _guarded(self, exchange: Exchange) -> None:
        try:
            await self._shadow(exchange)
        except asyncio.CancelledError:
            self._dropped("shutdown", exchange)
            raise
        except Exception as error:  # noqa: BLE001 - a broken comparer or normaliser must not touch traffic
            _log.warning("comparing %s: %s: %s", exchange.endpoint, type(error).__name__, error)
            self._record(
                Observation(
                    at=self._clock.now(),
                    endpoint=exchange.endpoint,
                    move=exchange.move,
                    verdict=Verdict.COMPARE_ERROR,
                    reason=type(error).__name__,
                )
            )

    async def _shadow(self, exchange: Exchange) -> None:
        is_paired = exchange.answered_by == "legacy" and self._random.random() < self._settings.paired_share
        is_second_first = is_paired and self._random.random() < 0.5
        second = await self._legacy.ask(exchange.call, is_shadow=True) if is_second_first else None
        other = await self._other(exchange).ask(exchange.call, is_shadow=True)
        if is_paired and not is_second_first:
            second = await self._legacy.ask(exchange.call, is_shadow=True)
        control, candidate = exchange.answer, other.answer
        control_ms, candidate_ms = exchange.elapsed_ms, other.elapsed_ms
        if exchange.answered_by == "service":
            control, candidate, control_ms, candidate_ms = candidate, control, candidate_ms, control_ms
        policy = self._policies.current()
        rules = policy.rules_for(exchange.endpoint)
        comparison = await self._compare(control, candidate, rules)
        if second is not None:
            await self._pair(exchange, comparison, control, second.answer, rules)
        decision = await self._confirm(exchange, control, candidate, comparison, rules)
        has_both = not control.is_error and not candidate.is_error
        self._record(
            Observation(
                at=self._clock.now(),
                endpoint=exchange.endpoint,
                move=exchange.move,
                verdict=comparison.verdict,
                classification=decision.classification if comparison.verdict is Verdict.MISMATCH else None,
                differences=tuple(
                    replace(item, outcome=redacted_outcome(item.outcome, policy.sensitive))
                    for item in decision.outcomes
                ),
                truncated=comparison.truncated,
                excused=comparison.excused,
                reached=await self._masks_reached(control, comparison, rules),
                control_ms=control_ms if has_both else None,
                candidate_ms=candidate_ms if has_both else None,
                sample=_sample(exchange, control, candidate, policy) if comparison.outcomes else None,
                reason=comparison.reason,
            )
        )

    def _other(self, exchange: Exchange) -> SideClient:
        return self._service if exchange.answered_by == "legacy" else self._legacy

    async def _compare(self, control: Answer, candidate: Answer, rules: CompareRules) -> Comparison:
        """Equal bytes are told at once; everything else is compared beside the loop."""
        if control.body == candidate.body or control.is_error or candidate.is_error:
            return compare(control, candidate, rules)
        return await asyncio.get_running_loop().run_in_executor(self._thread, compare, control, candidate, rules)

    async def _pair(
        self, exchange: Exchange, comparison: Comparison, control: Answer, second: Answer, rules: CompareRules
    ) -> None:
        """Record the randomly chosen pair legacy-legacy; only whole comparisons say anything."""
        against_itself = await self._compare(control, second, rules)
        if comparison.verdict not in _COMPARABLE or against_itself.verdict not in _COMPARABLE:
            return
        self._record(
            PairedSample(
                at=self._clock.now(),
                endpoint=exchange.endpoint,
                move=exchange.move,
                against_candidate=_keys(comparison),
                against_itself=_keys(against_itself),
            )
        )

    async def _confirm(
        self, exchange: Exchange, control: Answer, candidate: Answer, first: Comparison, rules: CompareRules
    ) -> NoiseDecision:
        """Ask both sides again, up to the number of delays, until every difference is classified."""
        undecided = NoiseDecision(
            outcomes=tuple(
                ClassifiedOutcome(outcome=outcome, classification=Classification.UNCONFIRMED)
                for outcome in first.outcomes
            ),
            is_final=False,
        )
        if first.verdict is not Verdict.MISMATCH or self._confirming >= self._settings.max_confirming:
            return undecided
        self._confirming += 1
        try:
            return await self._rounds(exchange, control, candidate, first, rules) or undecided
        finally:
            self._confirming -= 1

    async def _rounds(
        self, exchange: Exchange, control: Answer, candidate: Answer, first: Comparison, rules: CompareRules
    ) -> NoiseDecision | None:
        delays = self._settings.confirm_delays_s
        rounds: list[Round] = []
        decision: NoiseDecision | None = None
        previous, may_ask_candidate = control, True
        for delay in delays:
            await asyncio.sleep(delay)
            later = (await self._legacy.ask(exchange.call, is_shadow=True)).answer
            drift = await self._compare(previous, later, rules)
            if drift.verdict not in _COMPARABLE:
                return decision
            against_first = await self._compare(later, candidate, rules)
            again = None
            if may_ask_candidate:
                anew = (await self._service.ask(exchange.call, is_shadow=True)).answer
                comparison = await self._compare(later, anew, rules)
                may_ask_candidate = comparison.verdict in _COMPARABLE
                again = _seen(comparison) if may_ask_candidate else None
            rounds.append(Round(drift=drift.outcomes, against_first=_seen(against_first), again=again))
            decision = classify(first.outcomes, rounds, max_rounds=len(delays))
            if decision.is_final:
                break
            previous = later
        return decision

    async def _masks_reached(
        self, control: Answer, comparison: Comparison, rules: CompareRules
    ) -> frozenset[str] | None:
        if not rules.masks or comparison.verdict not in _COMPARABLE or not control.is_complete:
            return None
        if comparison.verdict is Verdict.MATCH and not comparison.excused:
            self._equal_pairs += 1
            if self._equal_pairs % REACHED_EVERY:
                return None
        return await asyncio.get_running_loop().run_in_executor(self._thread, _reached, control, rules)


def _reached(control: Answer, rules: CompareRules) -> frozenset[str] | None:
    try:
        return reached(parse(decoded_body(control, rules.max_decoded_bytes)), rules)
    except (UnreadableBody, OversizedBody):
        return None


def _seen(comparison: Comparison) -> tuple[Outcome, ...]:
    return (*comparison.outcomes, _UNSEEN) if comparison.truncated else comparison.outcomes


def _keys(comparison: Comparison) -> frozenset[tuple[str, str]]:
    return frozenset((outcome.path, outcome.kind.value) for outcome in comparison.outcomes)


def _sample(exchange: Exchange, control: Answer, candidate: Answer, policy: InspectionPolicy) -> ExchangeSample:
    words = policy.sensitive
    return ExchangeSample(
        method=exchange.call.method,
        target=redacted_target(exchange.call.target, words),
        request_id=exchange.request_id,
        control=redacted_answer(control, words),
        candidate=redacted_answer(candidate, words),
    )
