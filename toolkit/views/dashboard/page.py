"""The page: a Bokeh document on the scheduler that follows what drivers post."""

from importlib import import_module
from typing import Any
from weakref import ref

from toolkit.views.dashboard import panels
from toolkit.views.dashboard.board import Board, Posted, View, without_values
from toolkit.views.dashboard.map_figure import STATES, MapFigure
from toolkit.views.dashboard.theme import follow_theme

TITLE = "Sweep"
_EVERY_MS = 1000
_KINDS_SHOWN = 10  # of failures
_NEWEST = "newest"

_TEMPLATE = """
{% block postamble %}
<style>
  :root { color-scheme: light dark; --tk-ground: #fff; --tk-text: #1a1a1a; --tk-dim: #555;
    --tk-line: #ccc; --tk-pre: #f6f6f6; --tk-pending: #ddd; --tk-edge: rgba(0,0,0,.25);
    --tk-sign: #b34700; }
  @media (prefers-color-scheme: dark) {
    :root { --tk-ground: #181818; --tk-text: #e4e4e4; --tk-dim: #aaa; --tk-line: #555;
      --tk-pre: #262626; --tk-pending: #4a4a4a; --tk-edge: rgba(255,255,255,.35);
      --tk-sign: #f07f2e; }
  }
  html, body { background: var(--tk-ground); color: var(--tk-text); }
  main { max-width: 1500px; margin: 0 auto; padding: 12px 18px 24px; display: grid; gap: 14px 28px;
    grid-template-columns: repeat(2, minmax(0, 1fr)); }
  main > div { min-width: 0; }
  .across { grid-column: 1 / -1; }
  @media (max-width: 900px) { main { grid-template-columns: minmax(0, 1fr); } }
</style>
{% endblock %}
{% block contents %}
{% from macros import embed %}
<main>
  <div class="across">{{ embed(roots.head) }}</div>
  <div class="across">{{ embed(roots.stages) }}{{ embed(roots.tiers) }}</div>
  <div class="across">{{ embed(roots.choices) }}</div>
  <div>{{ embed(roots.states_head) }}{{ embed(roots.states) }}</div>
  <div>{{ embed(roots.seconds_head) }}{{ embed(roots.seconds) }}</div>
  <div class="across">{{ embed(roots.failures) }}</div>
  <div class="across">{{ embed(roots.slowest) }}</div>
</main>
{% endblock %}
"""


def show_sweeps(board: Board, document: Any) -> None:
    """Fill a document of Bokeh; it shows what is on the board from then on."""
    shown = _Page(board, document)
    shown.update()
    known = ref(shown)  # a session that has ended lets go of all that it showed

    def update() -> None:
        if (page := known()) is not None:
            page.update()

    document.add_periodic_callback(update, _EVERY_MS)
    document.on_session_destroyed(lambda _: shown.forget())


class _Page:
    """What one browser sees."""

    def __init__(self, board: Board, document: Any) -> None:
        models: Any = import_module("bokeh.models")
        self._board, self._models = board, models
        self._is_closed = not board.admits(_key_of(document, board))
        self._seen: tuple[Any, ...] = ()
        self._style = models.InlineStyleSheet(css=panels.CSS)
        self._texts = {
            name: self._text(name)
            for name in ("head", "stages", "tiers", "states_head", "seconds_head", "slowest")
        }
        self._maps = (MapFigure("states"), MapFigure("seconds"))
        self._sweep = models.Select(title="Sweep", options=[(_NEWEST, "the newest")], value=_NEWEST)
        self._view = models.Select(title="Maps over", options=[], value="")
        for choice in (self._sweep, self._view):
            choice.width = 300
            choice.stylesheets = [models.InlineStyleSheet(css=_CHOICE)]
            choice.on_change("value", self._chose)
        choices = models.Row(self._sweep, self._view, name="choices", styles={"flex-wrap": "wrap"})
        self._failures = models.Column(name="failures", sizing_mode="stretch_width")
        self._slots: list[_FailureSlot] = []
        for root in (
            *self._texts.values(),
            choices,
            *(each.figure for each in self._maps),
            self._failures,
        ):
            document.add_root(root)
        document.title = TITLE
        document.template = _TEMPLATE
        follow_theme(document, [each.figure for each in self._maps])

    def update(self) -> None:
        """Show what is on the board now."""
        posted = self._board.find("" if self._sweep.value == _NEWEST else self._sweep.value)
        if posted is None:
            self._texts["head"].text = "<h1>Sweep</h1><p>No sweep has been posted yet.</p>"
            return
        view = self._offer(posted)
        if view is not None:
            self._board.want(posted.sweep, view)
        seen = (posted.sweep, posted.change, view)
        if seen == self._seen:
            return
        self._seen = seen
        document = without_values(posted.document) if self._is_closed else posted.document
        told = {
            "head": panels.header(posted.title, document, note=self._note(posted)),
            "stages": panels.stages(document),
            "tiers": panels.tiers(document),
            "slowest": panels.slowest(document),
        }
        for name, html in told.items():
            self._set(name, html)
        self._show_maps(posted, view)
        self._show_failures(document)

    def forget(self) -> None:
        """Let go of what it shows."""
        self._slots = []

    def _offer(self, posted: Posted) -> View | None:
        """Offer what there is to choose from; return what is chosen."""
        sweeps = [(_NEWEST, "the newest")] + [
            (each.sweep, f"{each.title} ({each.document['state']})")
            for each in self._board.sweeps()
        ]
        if self._sweep.options != sweeps:
            self._sweep.options = sweeps
        self._sweep.visible = len(sweeps) > 2
        views = {"\n".join(view): view for view in posted.views}
        offered = [(name, _title(view, posted)) for name, view in views.items()]
        if self._view.options != offered:
            self._view.options = offered
        self._view.visible = len(offered) > 1
        if self._view.value not in views and views:
            self._view.value = next(iter(views))
        return views.get(self._view.value)

    def _note(self, posted: Posted) -> str:
        notes = []
        sweeps = self._board.sweeps()
        if len(sweeps) > 1 and self._sweep.value == _NEWEST:
            notes.append(f"The newest of {len(sweeps)} sweeps on this scheduler.")
        elif len(sweeps) > 1 and posted.sweep != sweeps[0].sweep:
            notes.append("Not the newest sweep on this scheduler.")
        if self._is_closed:
            notes.append(
                "Labels, messages and tracebacks need the key: open the page with the link that "
                "job.page_link gives."
            )
        return " ".join(notes)

    def _show_maps(self, posted: Posted, view: View | None) -> None:
        drawn = posted.maps.get(view) if view is not None else None
        for each in self._maps:
            each.figure.visible = drawn is not None
        if drawn is None:
            why = "This sweep has nothing to draw a map over."
            if view is not None:
                ended = posted.is_ended
                why = "It was not drawn before the sweep ended." if ended else "It is being drawn …"
            self._set("states_head", f"<h2>States of the runs</h2><p class='dim'>{why}</p>")
            self._set("seconds_head", "")
            return
        notes = [
            f"<p class='dim'>{panels.text(each)}</p>" if each else "" for each in drawn["notes"]
        ]
        there = set(drawn["states"])  # bytes
        keys = panels.legend(
            name for at, name in enumerate(STATES) if at in there or name != "skipped"
        )
        self._set("states_head", f"<h2>States of the runs</h2><p>{keys}</p>{notes[0]}")
        self._set(
            "seconds_head", f"<h2>Run times</h2><p>Wall time of a run, in seconds</p>{notes[1]}"
        )
        for each in self._maps:
            each.show(drawn, is_closed=self._is_closed)

    def _show_failures(self, document: Any) -> None:
        groups = list(document.get("failures") or ())[:_KINDS_SHOWN]
        kinds = document.get("n_failure_kinds", len(groups))
        failed = document["counts"]["failed"]
        while len(self._slots) < len(groups):
            self._slots.append(_FailureSlot(self._text("")))
        for slot, group in zip(self._slots, groups, strict=False):
            slot.show(group, is_closed=self._is_closed)
        title = f"<h2>Failures</h2><p class='dim'>{failed:,} runs"
        if kinds > len(groups):
            title += f"; {len(groups)} of {kinds:,} kinds, those with most runs"
        head = self._failures.children[0] if self._failures.children else self._text("")
        _write(head, f"{title}</p>" if groups else "")
        children = [head]
        for slot in self._slots[: len(groups)]:
            children += [slot.button, slot.text]
        if [each.id for each in self._failures.children] != [each.id for each in children]:
            self._failures.children = children

    def _chose(self, attr: str, old: str, new: str) -> None:
        del attr, old, new
        self.update()

    def _set(self, name: str, html: str) -> None:
        _write(self._texts[name], html)

    def _text(self, name: str) -> Any:
        named = {"name": name} if name else {}
        return self._models.Div(
            text="",
            sizing_mode="stretch_width",
            disable_math=True,
            stylesheets=[self._style],
            **named,
        )


class _FailureSlot:
    """A line on failures of a kind, which opens to the traceback of the first."""

    def __init__(self, text: Any) -> None:
        models: Any = import_module("bokeh.models")
        self.text = text
        self.text.visible = False
        self.button = models.Toggle(
            label="",
            sizing_mode="stretch_width",
            stylesheets=[models.InlineStyleSheet(css=_BUTTON)],
        )
        self.button.js_link("active", self.text, "visible")

    def show(self, group: Any, *, is_closed: bool) -> None:
        """Show another kind, or the same with other counts; what is open stays open."""
        label = panels.failure_title(group)
        if self.button.label != label:
            self.button.label = label
        _write(self.text, panels.failure(group, is_closed=is_closed))


_CHOICE = """
:host { color: var(--tk-text); }
.bk-input { background-color: var(--tk-ground); color: var(--tk-text);
  border-color: var(--tk-line); }
select:not([multiple]).bk-input { appearance: auto; background-image: none; padding-right: 6px; }
"""

_BUTTON = """
.bk-btn { text-align: left; white-space: normal; font-size: 14px; border: 0; border-radius: 0;
  border-bottom: 1px solid var(--tk-line); background: none; padding: 4px 0;
  color: var(--tk-text); }
.bk-btn::before { content: "▸ "; color: var(--tk-sign); }
.bk-btn.bk-active { background: none; box-shadow: none; color: var(--tk-text); }
.bk-btn.bk-active::before { content: "▾ "; }
"""


def _write(shown: Any, html: str) -> None:
    """Set text where it is another: nothing is sent for what stays."""
    if shown.text != html:
        shown.text = html
    is_visible = bool(html)
    if not shown.name:
        return
    if shown.visible != is_visible:
        shown.visible = is_visible


def _title(view: View, posted: Posted) -> str:
    stage, x, y = view
    dims = f"{x} × {y}" if y else x
    many = len({each[0] for each in posted.views}) > 1
    return f"{stage}: {dims}" if many else dims


def _key_of(document: Any, board: Board) -> str:
    """Return the key that the browser gave: in the address, or in a cookie from an earlier time."""
    context = document.session_context
    request = context.request if context is not None else None
    if request is None:
        return ""
    given = request.arguments.get("key", [b""])[-1]
    key = given.decode(errors="replace") if isinstance(given, bytes) else str(given)
    return key or str(request.cookies.get(board.cookie, ""))
