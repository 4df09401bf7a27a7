// The widget of a sweep: what is shown, and what is asked of the sweep.
//
// For tests and scripts:
//   .tk-widget                       the whole; data-state is that of the sweep, data-job its number
//   .tk-counts  .tk-times  .tk-said  runs by state, times, what the widget has to say
//   .tk-stage[data-stage]            a stage, where there are several, with its bar and .tk-numbers
//   button[data-action]              cancel, pause, resume, retry, unfocus, copy
//   select[data-role="output"|"x"|"y"], [data-role="where"][data-dim]     what is drawn
//   canvas.tk-map                    the picture; data-kind, data-output, data-version (is drawn)
//   .tk-note  .tk-tip                what the picture is of; what is under the mouse
//   .tk-failure  .tk-traceback  .tk-reproduce       a kind of failure (details), opened
//   .tk-tier[data-tier]              workers of a tier

const ACTIONS = [
  ["pause", "pause", "Hand out no further runs; those that run go on"],
  ["resume", "resume", "Hand out runs again"],
  ["retry", "retry failed", "Run the failed runs again"],
  ["cancel", "cancel", "Hand out nothing more; what is done is stored"],
];

function render({ model, el }) {
  const root = made("div", "tk-widget");
  const head = made("div", "tk-top");
  const badge = made("span", "tk-badge");
  const counts = made("span", "tk-counts");
  const buttons = made("span", "tk-buttons");
  head.append(badge, counts, buttons);
  const bar = barOf();
  const times = made("div", "tk-times");
  const said = made("div", "tk-said");
  said.setAttribute("role", "status");
  const body = made("div", "tk-body");
  const left = made("div", "tk-left");
  const right = made("div", "tk-right");
  const choices = made("div", "tk-choices");
  const stage = made("div", "tk-stage-of-picture");
  const canvas = made("canvas", "tk-map");
  const frame = made("div", "tk-frame");
  const tip = made("div", "tk-tip");
  const note = made("div", "tk-note");
  const stages = made("div", "tk-stages");
  const failures = made("div", "tk-failures");
  const workers = made("div", "tk-workers");
  frame.hidden = tip.hidden = true;
  stage.append(canvas, frame, tip);
  left.append(choices, stage, note);
  right.append(stages, failures, workers);
  body.append(left, right);
  root.append(head, bar, times, said, body);
  el.append(root);

  const ask = (message) => model.send(message);
  for (const [action, text, title] of ACTIONS) {
    const button = made("button", "tk-button", text);
    button.dataset.action = action;
    button.title = title;
    button.onclick = () => {
      button.disabled = true;
      setTimeout(() => { button.disabled = false; }, 1500);
      ask({ do: action });
    };
    buttons.append(button);
  }
  const unfocus = made("button", "tk-button", "all runs alike");
  unfocus.dataset.action = "unfocus";
  unfocus.onclick = () => ask({ do: "unfocus" });

  function showState() {
    const state = model.get("state");
    if (!state.stages) return;
    root.dataset.state = state.state;
    root.dataset.job = state.job;
    badge.className = `tk-badge tk-is-${state.state}`;
    say(badge, state.state);
    say(counts, countsText(state.counts));
    fillBar(bar, state.counts);
    say(times, timesText(state));
    if (state.dashboard_link && !state.is_ended) {
      const link = made("a", "", "Dask dashboard");
      link.href = state.dashboard_link;
      link.target = "_blank";
      link.rel = "noopener";
      times.append(times.textContent ? " · " : "", link);
    }
    const focus = state.is_ended ? "" : state.focus;
    say(said, [state.message, state.said, focus].filter(Boolean).join(" "));
    if (focus) said.append(" ", unfocus);
    said.hidden = !said.textContent;
    const can = new Set(state.can);
    say(buttons.querySelector("[data-action=retry]"), state.counts.failed ? "retry failed" : "run the rest");
    for (const button of buttons.children) button.hidden = !can.has(button.dataset.action);
    showStages(stages, state);
    showWorkers(workers, state);
    showFailures(failures, model.get("failures"), state.n_failure_kinds, state.counts.failed);
    right.hidden = stages.hidden && workers.hidden && failures.hidden;
  }

  let drawn = null;
  let isDue = false;
  function showPicture() {
    if (isDue) return;
    isDue = true;
    requestAnimationFrame(() => {
      isDue = false;
      if (root.isConnected) draw();
    });
  }

  function draw() {
    const picture = model.get("picture");
    const sides = model.get("sides");
    left.hidden = !picture.kind;
    if (!picture.kind || !stage.clientWidth) return;
    const bytes = model.get("grid");
    const grid = new Float32Array(
      bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength));
    if (picture.sides !== sides.number || grid.length !== picture.size) return; // half of a change
    palette = palette || paletteOf(model.get("palette"));
    drawn = { ...drawPicture(canvas, picture, sides, grid, palette), picture, sides, grid };
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", `${picture.title} over ${sides.x.title}` +
      (sides.y ? ` and ${sides.y.title}` : ""));
    Object.assign(canvas.dataset,
      { kind: picture.kind, output: picture.name, version: picture.version });
    say(note, [picture.title, picture.note, missingText(picture)].filter(Boolean).join(" · "));
    if (picture.n_failed) {
      const sign = made("span", "tk-sign");
      sign.style.background = STATE_COLORS.failed;
      note.append(note.textContent ? " · " : "", sign, `${count(picture.n_failed)} failed`);
    }
  }
  let palette = null;

  function showChoices() {
    const options = model.get("options");
    choices.replaceChildren();
    choices.hidden = !options.outputs;
    if (!options.outputs) return;
    const chosen = options.chosen;
    const choose = (change) => ask({ do: "choose", ...chosen, ...change });
    choices.append(selector("output", "show", options.outputs, chosen.output,
      (output) => ask({ do: "choose", output, where: chosen.where })));
    const sides = options.dims.filter((dim) => dim.n > 1 || dim.name === chosen.x);
    if (!sides.length) return;
    const names = sides.map((dim) => dim.name);
    choices.append(selector("x", "over", names, chosen.x,
      (x) => choose({ x, y: x === chosen.y ? chosen.x : chosen.y })));
    if (names.length > 1) {
      choices.append(selector("y", "and", ["(a line)", ...names.filter((n) => n !== chosen.x)],
        chosen.y || "(a line)", (y) => choose({ y: y === "(a line)" ? null : y })));
    }
    for (const dim of options.dims) {
      if (!dim.is_sliced) continue;
      choices.append(slicer(dim, chosen.where[dim.name], (at) => {
        const where = { ...chosen.where };
        if (at === null) delete where[dim.name];
        else where[dim.name] = at;
        chosen.where = where;
        choose({ where });
      }));
    }
  }

  watchMouse(stage, canvas, frame, tip, () => drawn, ask);
  const redraw = new ResizeObserver(showPicture);
  redraw.observe(left);
  const theme = new MutationObserver(showPicture);
  theme.observe(document.body, { attributes: true, attributeFilter: ["data-jp-theme-light", "class", "data-jp-theme-name"] });
  const listened = [
    ["change:state", showState], ["change:failures", showState], ["change:options", showChoices],
    ["change:grid", showPicture], ["change:picture", showPicture], ["change:sides", showPicture],
  ];
  for (const [event, handler] of listened) model.on(event, handler);
  showState();
  showChoices();
  showPicture();
  return () => {
    redraw.disconnect();
    theme.disconnect();
    for (const [event, handler] of listened) model.off(event, handler);
  };
}

function missingText(picture) {
  const missing = picture.n_missing - picture.n_failed;
  if (!missing) return "";
  const what = picture.kind === "scatter" ? "runs" : picture.kind === "line" ? "labels" : "cells";
  const total = picture.size / (picture.band ? 3 : 1);
  return missing === total ? `no ${what} have a value yet`
    : `${count(missing)} of ${count(total)} ${what} have no value`;
}

function selector(role, title, names, chosen, take) {
  const label = made("label", "tk-choice", `${title} `);
  const select = made("select");
  select.dataset.role = role;
  for (const name of names) select.append(new Option(name, name, false, name === chosen));
  select.onchange = () => take(select.value);
  label.append(select);
  return label;
}

/** A choice of one label of a dim, or of the mean over it; a slider where there are many. */
function slicer(dim, chosen, take) {
  const label = made("label", "tk-choice", `${dim.title}: `);
  const isList = dim.words && dim.words.length <= 40;
  const select = made("select");
  select.dataset.role = "where";
  select.dataset.dim = dim.name;
  select.append(new Option(`mean over ${count(dim.n)}`, "", false, chosen === undefined));
  if (isList) {
    dim.words.forEach((word, at) => select.append(new Option(word, at, false, at === chosen)));
  } else {
    select.append(new Option("one label", "one", false, chosen !== undefined));
  }
  select.onchange = () => {
    if (select.value === "") take(null);
    else take(select.value === "one" ? Math.floor(dim.n / 2) : Number(select.value));
  };
  label.append(select);
  if (!isList && chosen !== undefined) {
    const slider = made("input");
    slider.type = "range";
    Object.assign(slider, { min: 0, max: dim.n - 1, step: 1 });
    slider.value = chosen;
    slider.dataset.role = "slider";
    slider.dataset.dim = dim.name;
    slider.setAttribute("aria-label", dim.title);
    const word = made("span", "tk-faint", dim.words ? dim.words[chosen] : `label ${chosen + 1}`);
    slider.oninput = () => say(word, dim.words ? dim.words[slider.value] : `label ${+slider.value + 1}`);
    slider.onchange = () => take(Number(slider.value));
    label.append(slider, word);
  }
  return label;
}

/** Tells what is under the mouse; a region drawn with it comes first. */
function watchMouse(stage, canvas, frame, tip, look, ask) {
  let from = null;
  const at = (event) => {
    const box = canvas.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  };
  const inside = (shown, [x, y]) => [
    Math.max(0, Math.min(shown.wide - 0.01, x - shown.box.left)),
    Math.max(0, Math.min(shown.tall - 0.01, y - shown.box.top)),
  ];
  const isOver = (shown, [x, y]) => x >= shown.box.left && x <= shown.box.left + shown.wide &&
    y >= shown.box.top && y <= shown.box.top + shown.tall;

  canvas.onpointermove = (event) => {
    const shown = look();
    if (!shown) return;
    const here = at(event);
    if (from) return drag(shown, here);
    tip.hidden = !isOver(shown, here);
    if (tip.hidden) return;
    const text = tipText(shown, inside(shown, here));
    tip.hidden = !text;
    say(tip, text);
    const isLeft = here[0] > stage.clientWidth / 2;
    tip.style.left = isLeft ? "" : `${here[0] + 14}px`;
    tip.style.right = isLeft ? `${stage.clientWidth - here[0] + 14}px` : "";
    tip.style.top = `${here[1] + 12}px`;
  };
  function drag(shown, here) {
    tip.hidden = true;
    const [ax, ay] = inside(shown, from);
    const [bx, by] = inside(shown, here);
    const isLine = shown.picture.kind === "line";
    frame.hidden = false;
    frame.style.left = `${shown.box.left + Math.min(ax, bx)}px`;
    frame.style.top = `${shown.box.top + (isLine ? 0 : Math.min(ay, by))}px`;
    frame.style.width = `${Math.abs(ax - bx)}px`;
    frame.style.height = `${isLine ? shown.tall : Math.abs(ay - by)}px`;
  }
  canvas.onpointerdown = (event) => {
    const shown = look();
    if (event.button || !shown || shown.picture.kind === "scatter" || !isOver(shown, at(event))) return;
    from = at(event);
    canvas.setPointerCapture(event.pointerId);
    event.preventDefault();
  };
  canvas.onpointerup = (event) => {
    const shown = look();
    frame.hidden = true;
    if (!from || !shown) return;
    const [ax, ay] = inside(shown, from);
    const [bx, by] = inside(shown, at(event));
    from = null;
    if (Math.abs(ax - bx) < 5 && Math.abs(ay - by) < 5) return;
    const range = (axis, a, b) => [axis.indexAt(Math.min(a, b)), axis.indexAt(Math.max(a, b))];
    const message = { do: "focus", x: range(shown.x, ax, bx) };
    if (shown.picture.kind === "map") message.y = range(shown.y, shown.tall - ay, shown.tall - by);
    ask(message);
  };
  canvas.onpointercancel = () => { from = null; frame.hidden = true; };
  canvas.onpointerleave = () => { tip.hidden = true; };
}

function tipText({ picture, sides, grid, x, y, tall }, [px, py]) {
  const isFailed = failedIn(grid);
  const value = (i) => {
    if (isFailed(i)) return "failed";
    if (Number.isNaN(grid[i])) return picture.words ? "left out" : "no value";
    return picture.words ? picture.words[grid[i]] : number(grid[i]);
  };
  if (picture.kind === "scatter") {
    let best = -1;
    let least = 144;
    for (let i = 0; i < grid.length; i++) {
      const up = sides.y ? y.middle[i] : y.place(grid[i]);
      const apart = (x.middle[i] - px) ** 2 + (tall - up - py) ** 2;
      if (apart < least) [best, least] = [i, apart];
    }
    if (best < 0) return "";
    const lines = [`${sides.x.name} = ${labelText(sides.x, best)}`];
    if (sides.y) lines.push(`${sides.y.name} = ${labelText(sides.y, best)}`);
    return [...lines, `${picture.name}: ${value(best)}`].join("\n");
  }
  const i = x.indexAt(px);
  const lines = [`${sides.x.name} = ${labelText(sides.x, i)}`];
  if (picture.kind === "line") return [...lines, `${picture.name}: ${value(i)}`].join("\n");
  const j = y.indexAt(tall - py);
  lines.push(`${sides.y.name} = ${labelText(sides.y, j)}`);
  return [...lines, `${picture.name}: ${value(j * sides.x.labels.length + i)}`].join("\n");
}

export default { render };
