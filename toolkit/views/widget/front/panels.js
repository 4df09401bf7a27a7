// What stands around the picture: counts, stages, failures, workers.

function made(tag, className, text) {
  const node = document.createElement(tag);
  if (className) node.className = className;
  if (text !== undefined) node.textContent = text;
  return node;
}

/** Sets text only where it is another: what is selected stays selected. */
function say(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

const COUNTED = ["done", "stale", "failed", "blocked", "running", "pending"];

function barOf() {
  const bar = made("div", "tk-bar");
  bar.setAttribute("role", "img");
  for (const state of ["done", "stale", "failed", "blocked"]) bar.append(made("div", `tk-${state}`));
  return bar;
}

function fillBar(bar, counts) {
  for (const part of bar.children) {
    const state = part.className.slice(3);
    part.style.width = `${(100 * counts[state]) / Math.max(1, counts.total)}%`;
  }
  bar.setAttribute("aria-label", countsText(counts));
}

function countsText(counts) {
  const parts = [`${count(counts.done)} of ${count(counts.total)} done`];
  for (const state of COUNTED.slice(1, 5)) {
    if (counts[state]) parts.push(`${count(counts[state])} ${state}`);
  }
  return parts.join(", ");
}

function timesText(state) {
  const parts = [];
  if (state.rate && !state.is_ended) parts.push(`${amount(state.rate)} runs/s`);
  if (state.elapsed !== null) parts.push(`${duration(state.elapsed)} elapsed`);
  if (state.left && !state.is_ended) {
    parts.push(`${between(state.left.low, state.left.high)} left`);
  }
  if (state.spent && state.spent.core_hours) parts.push(costText(state.spent));
  if (state.to_spend && state.to_spend.core_hours && !state.is_ended) parts.push(`about ${costText(state.to_spend)} to come`);
  return parts.join(" · ");
}

function costText(cost) {
  const hours = cost.core_hours;
  const parts = [hours >= 0.1 ? `${number(hours)} core-hours` : `${duration(hours * 3600)} of one core`];
  if (cost.gpu_hours) parts.push(`${number(cost.gpu_hours)} GPU-hours`);
  return parts.join(" and ");
}

function showStages(home, state) {
  const known = home.tkRows || (home.tkRows = {});
  home.hidden = state.stages.length < 2;
  for (const stage of state.stages) {
    let row = known[stage.name];
    if (!row) {
      row = known[stage.name] = made("div", "tk-stage");
      row.dataset.stage = stage.name;
      row.append(made("span", "tk-name", stage.name), barOf(), made("span", "tk-numbers"));
      home.append(row);
    }
    fillBar(row.children[1], stage.counts);
    const rate = stage.rate && !state.is_ended ? `, ${amount(stage.rate)} runs/s` : "";
    say(row.children[2], countsText(stage.counts) + rate);
  }
}

function showFailures(home, groups, kinds, total) {
  home.hidden = !groups.length;
  const known = home.tkGroups || (home.tkGroups = new Map());
  say(home.tkHead || (home.tkHead = home.appendChild(made("div", "tk-head"))),
    `${count(total)} failed run${total === 1 ? "" : "s"}` +
    (kinds > 1 ? ` of ${count(kinds)} kinds` : ""));
  const seen = new Set();
  for (const group of groups) {
    const key = `${group.stage}\n${group.exception}\n${group.where}`;
    seen.add(key);
    let entry = known.get(key);
    if (!entry) {
      entry = failureEntry(group);
      known.set(key, entry);
      home.append(entry.node);
    }
    say(entry.count, count(group.count));
    if (entry.key !== `${group.runs[0]}${group.message}`) entry.fill(group);
  }
  for (const [key, entry] of known) {
    if (!seen.has(key)) {
      entry.node.remove();
      known.delete(key);
    }
  }
  const more = kinds - groups.length;
  home.tkMore = home.tkMore || made("div", "tk-faint");
  say(home.tkMore, more > 0 ? `and ${count(more)} more kinds: job.failures() has all` : "");
  home.append(home.tkMore);
}

function failureEntry(group) {
  const node = made("details", "tk-failure");
  const summary = made("summary");
  const number = made("span", "tk-count");
  const title = made("span", "tk-error");
  summary.append(number, title);
  const body = made("div", "tk-failure-body");
  node.append(summary, body);
  const entry = { node, count: number, key: null };
  entry.fill = (found) => {
    entry.key = `${found.runs[0]}${found.message}`;
    const first = found.message.split("\n", 1)[0];
    say(title, `${found.exception}${first ? `: ${first}` : ""}`);
    body.replaceChildren();
    const facts = [];
    if (found.where) facts.push(`in ${found.where}`);
    facts.push(`stage ${found.stage}, first of them run ${found.runs[0]}`);
    const labels = Object.entries(found.labels).map(([name, value]) => `${name} = ${value}`);
    if (labels.length) facts.push(labels.join(", "));
    if (found.host) facts.push(`on ${found.host}${found.tier ? ` (${found.tier})` : ""}`);
    if (found.reason !== "exception") facts.push(`reason: ${found.reason}`);
    body.append(made("div", "tk-facts", facts.join(" · ")));
    if (found.reproduce) body.append(reproduceLine(found.reproduce));
    body.append(made("pre", "tk-traceback", found.traceback || found.message || "no traceback"));
  };
  entry.fill(group);
  return entry;
}

function reproduceLine(code) {
  const line = made("div", "tk-reproduce");
  const shown = made("code", "", code);
  const button = made("button", "tk-button", "copy");
  button.dataset.action = "copy";
  button.title = "Copy the line that runs this again here";
  button.onclick = async () => {
    let isCopied = false;
    try {
      await navigator.clipboard.writeText(code);
      isCopied = true;
    } catch {
      const range = document.createRange();
      range.selectNodeContents(shown);
      getSelection().removeAllRanges();
      getSelection().addRange(range);
    }
    button.textContent = isCopied ? "copied" : "selected: Ctrl-C";
    setTimeout(() => { button.textContent = "copy"; }, 2000);
  };
  line.append(shown, button);
  return line;
}

function showWorkers(home, state) {
  const rows = tierRows(state);
  home.hidden = state.is_ended || !rows.length;
  if (home.hidden) return;
  const table = made("table");
  const head = made("tr");
  for (const title of ["tier", "workers", "running", "pending", "memory", "spent", "to come"]) {
    head.append(made("th", "", title));
  }
  table.append(head);
  for (const row of rows) {
    const line = made("tr", "tk-tier");
    line.dataset.tier = row.name;
    for (const cell of row.cells) line.append(made("td", "", cell));
    table.append(line);
    if (row.waits) {
      const wait = made("tr", "tk-faint");
      wait.append(Object.assign(made("td", "", row.waits), { colSpan: 7 }));
      table.append(wait);
    }
  }
  const old = home.querySelector("table");
  if (old) old.replaceWith(table);
  else home.append(made("div", "tk-head", "Workers"), table);
}

function tierRows(state) {
  const many = new Set(state.tiers.map((tier) => tier.stage)).size > 1;
  const inTier = (name) => state.workers.filter((worker) => worker.tier === name);
  if (!state.tiers.length) {
    const names = [...new Set(state.workers.map((worker) => worker.tier))];
    return names.map((name) => ({
      name, cells: [name || "all alike", count(inTier(name).length), "", "", memoryText(inTier(name)), "", ""],
    }));
  }
  return state.tiers.map((tier) => ({
    name: tier.name,
    waits: tier.waits,
    cells: [
      (tier.name || "all alike") + (many ? ` (${tier.stage})` : ""),
      count(tier.workers), count(tier.running), count(tier.pending - tier.running),
      memoryText(inTier(tier.name)), costText(tier.spent), tier.left ? costText(tier.left) : "",
    ],
  }));
}

function memoryText(workers) {
  const known = workers.filter((worker) => worker.memory);
  if (!known.length) return "";
  const used = known.reduce((sum, worker) => sum + worker.memory, 0) / 1e9;
  const limit = known.reduce((sum, worker) => sum + (worker.memory_limit || 0), 0) / 1e9;
  return limit ? `${number(Number(used.toFixed(1)))} of ${number(Number(limit.toFixed(1)))} GB` : `${number(Number(used.toFixed(1)))} GB`;
}
