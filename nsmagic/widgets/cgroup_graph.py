"""The live graph of a cgroup as a widget, with controls that work while a cell runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import traitlets

from nsmagic.widgets.assets import script, style
from nsmagic.widgets.colours import PALETTE
from nsmagic.widgets.graph_fields import FIELDS, TITLES, Reading
from nsmagic.widgets.graph_still import png
from nsmagic.widgets.graph_text import text_of
from nsmagic.widgets.graph_track import Event, Track
from nsmagic.widgets.live import LiveWidget
from nsmagic.wish.limits import BY_KEY, CpuQuota, Limit, columns


class Steering(Protocol):
    """What a person may do to the group from the graph.  All raise NsmagicError or OSError."""

    able: Sequence[str]

    def freeze(self) -> None:
        """Let no process run."""

    def thaw(self) -> None:
        """Let them run again."""

    def kill(self) -> None:
        """Kill every process."""

    def limit(self, limit: Limit) -> None:
        """Change a limit, and have it read back soon."""


@dataclass(frozen=True, kw_only=True)
class Slider:
    """A limit that can be moved between `least` and `most`; beyond them is none at all."""

    key: str
    least: float
    most: float

    @property
    def facts(self) -> dict[str, Any]:
        """What the front end is told."""
        field = next(field for field in FIELDS if field.key == self.key)
        return {
            "key": self.key, "label": field.label, "unit": field.unit, "least": self.least,
            "most": self.most, "meaning": BY_KEY[self.key].meaning,
        }  # fmt: skip


def _history(_: object, widget: CgroupGraph) -> bytes:
    return b"".join(widget.track.rows)


def _events(_: object, widget: CgroupGraph) -> list[dict[str, Any]]:
    return [event.facts for event in widget.track.events]


def _limits(_: object, widget: CgroupGraph) -> dict[str, Any]:
    return widget.limits_now


def _status(_: object, widget: CgroupGraph) -> str:
    return widget.status_now


class CgroupGraph(LiveWidget):
    """What a group uses against its limits; `push` what its track is given and the views go on.

    `plots` are panels of TITLES, `steering` is None where the group cannot be changed.
    """

    _esm = traitlets.Unicode(
        script(
            "common.js",
            "vendor/uplot.js",
            "graph_history.js",
            "graph_panel.js",
            "cgroup_graph.js",
            "cgroup_controls.js",
        )
    ).tag(sync=True)
    _css = traitlets.Unicode(style("vendor/uplot.css", "common.css", "cgroup_graph.css")).tag(
        sync=True
    )
    name = traitlets.Unicode().tag(sync=True)
    plots: traitlets.List[str] = traitlets.List().tag(sync=True)
    able: traitlets.List[str] = traitlets.List().tag(sync=True)
    sliders: traitlets.List[dict[str, Any]] = traitlets.List().tag(sync=True)
    titles = traitlets.Dict(TITLES).tag(sync=True)
    fields = traitlets.List([field.facts for field in FIELDS]).tag(sync=True)
    palette = traitlets.Dict(PALETTE).tag(sync=True)
    answers = traitlets.Bool(False).tag(sync=True)
    # Made when a view asks: one that is opened late shows all that is kept.
    history = traitlets.Any(None).tag(sync=True, to_json=_history)
    events = traitlets.Any(None).tag(sync=True, to_json=_events)
    limits = traitlets.Any(None).tag(sync=True, to_json=_limits)
    status = traitlets.Any(None).tag(sync=True, to_json=_status)

    def __init__(
        self,
        name: str,
        plots: Sequence[str],
        track: Track,
        *,
        steering: Steering | None = None,
        sliders: Sequence[Slider] = (),
    ) -> None:
        self.track = track
        last = track.last
        self._limits_read: Mapping[str, Any] = {} if last is None else last.limits
        self.limits_now = _limit_facts(self._limits_read)
        self.status_now = "frozen" if last is not None and last.frozen else "running"
        self._steering = steering
        self._waiting: list[bytes] = []
        self._news: list[Event] = []
        super().__init__(
            name=name, plots=list(plots), able=[] if steering is None else list(steering.able),
            sliders=[] if steering is None else [slider.facts for slider in sliders],
        )  # fmt: skip
        self.answers = self.while_busy

    @property
    def samples(self) -> dict[str, list[float | None]]:
        """What is kept, as lists of equal length for a plot of one's own: see `limits.columns`."""
        return columns(list(self.track.samples))

    def push(
        self, row: bytes, events: Sequence[Event], reading: Reading, *, send: bool = True
    ) -> None:
        """Show what the track was given; without `send` it goes with what follows."""
        with self._lock:
            if self.status_now == "gone":
                return
            self._waiting.append(row)
            self._news += events
            status = "frozen" if reading.frozen else "running"
            limits = self.limits_now
            if reading.limits is not self._limits_read:
                self._limits_read = reading.limits
                limits = _limit_facts(reading.limits)
            if send or events or status != self.status_now or limits != self.limits_now:
                self._flush(status, limits)

    def _flush(self, status: str, limits: dict[str, Any]) -> None:
        message: dict[str, Any] = {}
        if self._news:
            message["events"] = [event.facts for event in self._news]
        if status != self.status_now:
            message["status"] = self.status_now = status
        if limits != self.limits_now:
            message["limits"] = self.limits_now = limits
        rows = b"".join(self._waiting)
        self._waiting, self._news = [], []
        self.tell(message, [rows])

    def end(self, events: Sequence[Event]) -> None:
        """Say that the group is gone; `leave_still` is for afterwards."""
        with self._lock:
            if self.status_now == "gone":
                return
            self._news += events
            self._flush("gone", self.limits_now)

    def asked(self, what: str, content: Mapping[str, Any]) -> None:
        """Do to the group what was clicked."""
        if self._steering is None:
            return
        if what == "limit":
            self._steering.limit(_limit_of(str(content["key"]), content.get("value")))
        elif what in self._steering.able or (what == "thaw" and "freeze" in self._steering.able):
            {"freeze": self._steering.freeze, "thaw": self._steering.thaw,
             "kill": self._steering.kill}[what]()  # fmt: skip

    def line(self) -> str:
        """Return what it is."""
        return f"live graph of cgroup {self.name}"

    def text(self) -> str:
        """Return the graph as lines of characters."""
        return text_of(self.name, self.plots, self.track)

    def still(self) -> dict[str, str]:
        """Return the graph as a PNG, once there is a sample."""
        if not self.track.rows:
            return {}
        picture = png(self.name, self.plots, self.track)
        source = f"data:image/png;base64,{picture}"
        tag = f'<img alt="cgroup {self.name}" style="max-width:100%" src="{source}">'
        return {"image/png": picture, "text/html": tag}


def _limit_facts(limits: Mapping[str, Any]) -> dict[str, Any]:
    facts = {}
    for field in FIELDS:
        if field.key and field.key in limits:
            value = limits[field.key]
            number = value
            if isinstance(value, CpuQuota):
                number = None if value.quota is None else value.cpus
            facts[field.key] = {"value": number, "text": BY_KEY[field.key].unit.show(value)}
    return facts


def _limit_of(key: str, number: object) -> Limit:
    """Return the limit that a slider stands for.  ValueError for what no slider says."""
    if number is not None and (not isinstance(number, int | float) or not 0 < number < 1 << 62):
        raise ValueError(f"{key} cannot be {number!r}")
    if key == "cpu":
        quota = None if number is None else max(1000, round(number * 100_000))
        return Limit(key=key, value=CpuQuota(quota=quota))
    if key not in {field.key for field in FIELDS if field.key}:
        raise ValueError(f"{key!r} is no limit of a graph")
    return Limit(key=key, value=None if number is None else int(number))
