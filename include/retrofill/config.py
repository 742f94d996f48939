"""The configuration of a run: the params of its kinds and those of all runs, checked together."""

import difflib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from functools import cache
from typing import Any

from retrofill.events import AUTO, SHAPES, names_in_words, offered
from retrofill.functions import FUNCTIONS
from retrofill.functions.kind import FunctionKind, FunctionParams
from retrofill.model.errors import ConfigError
from retrofill.model.quoting import quoted
from retrofill.model.selection import Place
from retrofill.params.approval import ApprovalParams
from retrofill.params.base import Params, Problem, Sound, form_field, unknown
from retrofill.params.calls import CallParams, call_params
from retrofill.params.canary import CanaryParams
from retrofill.params.feedback import FeedbackParams
from retrofill.params.job import JobParams
from retrofill.params.limits import LimitParams
from retrofill.params.notification import NotificationParams
from retrofill.params.prices import PriceParams
from retrofill.params.redrive import RedriveParams
from retrofill.params.report import ReportParams
from retrofill.sources import SOURCES
from retrofill.sources.kind import SourceKind, SourceParams

_EMPTY: tuple[object, ...] = (None, "", {}, [])
"""The values that the form sends for an empty field."""

_SOURCE_KIND = "source_kind"
"""Where a stored configuration names the kind of its source."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunConfig:
    """The params of a run, in one part per owner."""

    source_kind: SourceKind
    function_kind: FunctionKind
    source: SourceParams
    calls: CallParams
    function: FunctionParams
    limits: LimitParams
    prices: PriceParams
    feedback: FeedbackParams
    canary: CanaryParams
    approval: ApprovalParams
    redrive: RedriveParams
    report: ReportParams
    notification: NotificationParams
    job: JobParams

    @staticmethod
    def from_stored(stored: Mapping[str, Any]) -> "RunConfig":
        """Return the configuration of a run from the output of :meth:`as_json`."""
        params = dict(stored)
        return params_for(params.pop(_SOURCE_KIND)).stored(params)

    @property
    def job_name(self) -> str:
        """The job's name: the given one, or one made from source and function."""
        return self.job.job or f"{self.source.label()} → {self.function.label()}"

    def as_json(self) -> dict[str, Any]:
        """Return the configuration as plain JSON values, for :meth:`from_stored`."""
        stored: dict[str, Any] = {_SOURCE_KIND: self.source_kind.name}
        for part in fields(self):
            if isinstance(params := getattr(self, part.name), Params):
                stored |= params.model_dump(mode="json")
        return stored


class RunParams:
    """The params of runs over one kind of source.

    Each param has one owner, which validates it: the kind of source, a kind of function, or a part
    that all runs have.
    """

    def __init__(self, source: SourceKind) -> None:
        self._source = source
        shapes = offered(source.form.name)
        kinds = [(kind.name, kind.title) for kind in FUNCTIONS.values()]
        self._functions = {_part_of(kind): kind for kind in FUNCTIONS.values()}
        self._parts: dict[str, type[Params]] = {
            "source": source.params,
            "calls": call_params(kinds, shapes),
            **{part: kind.params for part, kind in self._functions.items()},
            "limits": LimitParams,
            "prices": PriceParams,
            "feedback": FeedbackParams,
            "canary": CanaryParams,
            "approval": ApprovalParams,
            "redrive": RedriveParams,
            "report": ReportParams,
            "notification": NotificationParams,
            "job": JobParams,
        }
        self._owner: dict[str, str] = {}
        for part, params in self._parts.items():
            for name in params.model_fields:
                if name in self._owner:
                    raise TypeError(f"{part} and {self._owner[name]} both have a param {name}")
                self._owner[name] = part

    @property
    def parts(self) -> Collection[type[Params]]:
        """The params of each owner."""
        return self._parts.values()

    def config(self, params: Mapping[str, Any]) -> RunConfig:
        """Return the configuration in a DAG run's params.

        :raises ConfigError: all problems with the params, one sentence each
        """
        config, problems = self.salvage(params)
        if problems:
            raise ConfigError(*map(str, problems))
        return config

    def problems(self, params: Mapping[str, Any]) -> list[Problem]:
        """Return all problems with a DAG run's params."""
        return self.salvage(params)[1]

    def salvage(self, params: Mapping[str, Any]) -> tuple[RunConfig, list[Problem]]:
        """Return a configuration from the valid params of a DAG run, and all problems with others.

        An invalid param gets its default or, without a default, a stand-in.
        """
        problems = [
            unknown(name, self._owner, difflib.get_close_matches(name, self._owner, n=1))
            for name in params
            if name not in self._owner
        ]
        chosen = self._chosen(params)
        values: dict[str, Any] = {}
        unsound = {name for name in params if name not in self._owner}
        for part, cls in self._parts.items():
            own = {name: params[name] for name in cls.model_fields if name in params}
            if self._functions.get(part, chosen) is not chosen:
                if "function_kind" not in unsound:
                    problems += _of_other_kinds(self._functions[part], own, chosen)
                continue
            values[part], found, wrong = cls.salvage(own)
            unsound |= wrong
            if part not in self._functions or "function_kind" not in unsound:
                problems += found
        config = self._config(values, chosen)
        return config, [*problems, *_contradictions(config, unsound)]

    def form_fields(self, defaults: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
        """Return, for each param, the arguments of an Airflow ``Param``, as plain values.

        :param defaults: values that replace the params' own defaults
        """
        several = len(self._functions) > 1
        form = {}
        for name, part in self._owner.items():
            shown = form_field(self._parts[part], name)
            if several and part in self._functions and shown["default"] is None:
                # It is required only with its own kind, which the form cannot express.
                types = shown["type"]
                shown["type"] = types if isinstance(types, list) else ["null", types]
            if name in defaults:
                value = defaults[name]
                shown["default"] = value.isoformat() if isinstance(value, datetime) else value
            form[name] = shown
        return form

    def _chosen(self, params: Mapping[str, Any]) -> FunctionKind:
        """Return the requested kind of function, or the default if there is no such kind."""
        asked = params.get("function_kind")
        default = next(iter(FUNCTIONS))
        return FUNCTIONS.get(asked if isinstance(asked, str) else default, FUNCTIONS[default])

    def stored(self, stored: Mapping[str, Any]) -> RunConfig:
        """Return a configuration that was valid when it was stored."""
        chosen = self._chosen(stored)
        values = {
            part: cls.model_validate(
                {name: stored[name] for name in cls.model_fields if name in stored}
            )
            for part, cls in self._parts.items()
            if self._functions.get(part, chosen) is chosen
        }
        return self._config(values, chosen)

    def _config(self, values: dict[str, Any], chosen: FunctionKind) -> RunConfig:
        function = values.pop(_part_of(chosen))
        return RunConfig(
            source_kind=self._source, function_kind=chosen, function=function, **values
        )


def _part_of(kind: FunctionKind) -> str:
    return f"function {kind.name}"


def _of_other_kinds(
    owner: FunctionKind, given: Mapping[str, Any], chosen: FunctionKind
) -> Iterator[Problem]:
    """Find params of another kind of function than the requested one."""
    for name, value in given.items():
        if value not in _EMPTY and value != owner.params.model_fields[name].default:
            yield Problem(
                name,
                f"{quoted(value)} is not allowed with function_kind {chosen.name!r}, which has no"
                f" such param; it belongs to {owner.name!r}",
            )


@cache
def params_for(source: str) -> RunParams:
    """Return the params of runs over a kind of source.

    :param source: the kind's name
    :raises ConfigError: there is no such kind
    """
    kind = SOURCES.get(source)
    if kind is None:
        raise ConfigError(
            f"source: {quoted(source)} is not allowed; give one of {', '.join(SOURCES)}"
        )
    return RunParams(kind)


def _contradictions(config: RunConfig, unsound: set[str]) -> Iterator[Problem]:
    """Find params that contradict each other."""

    def sound(*names: str) -> bool:
        return not set(names) & unsound

    for part in (config.source, config.calls, config.function, config.approval, config.redrive):
        yield from part.contradictions(sound)
    yield from _unreceivable_event(config, sound)
    yield from _useless_canary(config, sound)
    redrives = config.redrive.place
    lists = redrives is not Place.QUARANTINE
    # To redrive a job's quarantine, the job's name is enough.
    if sound("redrive") and (lists or config.job.job is None):
        yield from config.source.problems_of_extent(sound)
    if not sound("redrive") or redrives is None:
        return
    if not lists:
        yield from config.source.problems_with_redrive(sound)
    if config.calls.preview and sound("preview"):
        yield Problem("preview", "True is not allowed with redrive, which calls what it selects")


def _useless_canary(config: RunConfig, sound: Sound) -> Iterator[Problem]:
    """Find a canary of a run that redrives, or calls nothing."""
    canary = config.canary.canary
    if canary is None or not sound("canary"):
        return
    if config.redrive.place and sound("redrive"):
        yield Problem(
            "canary",
            f"{canary:,} is not allowed with redrive: a canary is sampled from items that no call"
            " has carried",
        )
    if config.calls.preview and sound("preview"):
        yield Problem("canary", f"{canary:,} is not allowed with preview, which calls nothing")


def _unreceivable_event(config: RunConfig, sound: Sound) -> Iterator[Problem]:
    """Find an event that the kind of function cannot receive."""
    event, kind = config.calls.event, config.function_kind
    if not sound("event", "function_kind") or event == AUTO:
        return
    if not SHAPES[event].is_carried_by([kind.name]):
        possible = [
            one for one in offered(config.source_kind.form.name) if one.is_carried_by([kind.name])
        ]
        yield Problem(
            "event",
            f"{event!r} cannot be sent to {kind.title}; with function_kind {kind.name!r}, give"
            f" auto, {names_in_words(possible, 'or')}",
        )
