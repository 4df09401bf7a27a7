// Numbers, dates and words along the sides of a picture.

/** A number as people read it: four digits, exponents only where they shorten it. */
function number(value) {
  if (value === null || value === undefined || Number.isNaN(value)) return "none";
  if (!Number.isFinite(value)) return value > 0 ? "∞" : "-∞";
  const size = Math.abs(value);
  if (size !== 0 && (size >= 1e6 || size < 1e-3)) {
    return value.toExponential(3).replace(/\.?0+e/, "e").replace("e+", "e");
  }
  return String(Number(value.toPrecision(4)));
}

function amount(value) {
  return value >= 99.5 ? count(value) : String(Number(value.toPrecision(3)));
}

function count(value) {
  return Math.round(value).toLocaleString("en-US");
}

function duration(seconds) {
  if (seconds === null || seconds === undefined) return "";
  if (seconds < 1e-3) return `${number(seconds * 1e6)} µs`;
  if (seconds < 1) return `${number(seconds * 1e3)} ms`;
  if (seconds < 90) return seconds < 10 ? `${seconds.toFixed(1)} s` : `${Math.round(seconds)} s`;
  let minutes = Math.floor(seconds / 60);
  const rest = Math.round(seconds - 60 * minutes);
  if (minutes < 10) return `${minutes} min ${String(rest).padStart(2, "0")} s`;
  minutes = Math.round(seconds / 60);
  if (minutes < 60) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  return `${count(hours)} h ${String(minutes % 60).padStart(2, "0")} min`;
}

// Seconds, the unit, and up to how many of it are said.
const UNITS = [[1, "s", 90], [60, "min", 90], [3600, "h", 48], [86400, "days", Infinity]];

/** A time that is not known exactly: a range in one unit where that can be, as in terminals. */
function between(low, high) {
  const unitOf = (seconds) => UNITS.find(([size, , most]) => seconds < most * size);
  const figure = (value) =>
    value >= 0.05 && value < 9.95 ? value.toFixed(1).replace(/\.0$/, "") : count(value);
  const [size, unit] = unitOf(high);
  const last = figure(high / size);
  if (figure(low / size) === last || high <= 1.1 * low) {
    return `about ${figure((low + high) / 2 / size)} ${unit}`;
  }
  if (low < 0.5) return `up to ${last} ${unit}`;
  const [smaller, name] = unitOf(low);
  const first = low < size ? `${figure(low / smaller)} ${name}` : figure(low / size);
  return `${first} to ${last} ${unit}`;
}

/** Round steps between two numbers, at most so many. */
function roundSteps(low, high, most) {
  if (!(high > low)) return [low];
  const rough = (high - low) / Math.max(1, most);
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10].find((each) => each * power >= rough * 0.999) * power;
  const found = [];
  for (let at = Math.ceil(low / step - 1e-9); at * step <= high + step * 1e-9; at++) {
    found.push(Number((at * step).toPrecision(12)));
  }
  return found.slice(0, 4 * most + 4);
}

function powersBetween(low, high, most) {
  const found = [];
  const first = Math.floor(Math.log10(low));
  const last = Math.ceil(Math.log10(high));
  const apart = Math.max(1, Math.ceil((last - first) / most));
  const steps = last - first <= 2 ? [1, 2, 5] : [1];
  for (let power = first; power <= last; power += apart) {
    for (const each of steps) {
      const at = Number((each * 10 ** power).toPrecision(6));
      if (at >= low * 0.999 && at <= high * 1.001) found.push(at);
    }
  }
  return found;
}

function dateText(milliseconds, step) {
  const text = new Date(milliseconds).toISOString();
  if (step >= 86400e3) return text.slice(0, 10);
  return step >= 60e3 ? `${text.slice(5, 10)} ${text.slice(11, 16)}` : text.slice(11, 19);
}

/**
 * Where the labels of a side lie along so many pixels.
 *
 * `edge` has one more entry than there are labels; `middle` says where each label lies.
 */
function axisOf(side, pixels, room) {
  const n = side.labels.length;
  const isWord = side.kind === "word" || (n === 1 && side.kind !== "date");
  const forward = side.log && !isWord ? Math.log10 : (value) => value;
  const at = side.labels.map((label, index) => (isWord ? index : forward(label)));
  const edges = [];
  for (let i = 1; i < n; i++) edges.push((at[i - 1] + at[i]) / 2);
  const first = n > 1 ? at[0] - (edges[0] - at[0]) : at[0] - 0.5;
  const last = n > 1 ? at[n - 1] + (at[n - 1] - edges[n - 2]) : at[0] + 0.5;
  const whole = [first, ...edges, last];
  const place = (value) => ((value - first) / (last - first || 1)) * pixels;
  const most = Math.max(2, Math.floor(pixels / room));
  let ticks;
  if (isWord) {
    const step = Math.max(1, Math.ceil(n / most));
    ticks = side.labels
      .map((label, index) => ({ at: place(index), text: wordText(side, label) }))
      .filter((_, index) => index % step === 0);
  } else if (side.kind === "date") {
    const step = (last - first) / most;
    ticks = roundSteps(first, last, most).map((v) => ({ at: place(v), text: dateText(v, step) }));
  } else if (n <= most && n <= 8) {
    ticks = side.labels.map((label) => ({ at: place(forward(label)), text: number(label) }));
  } else if (side.log) {
    const found = powersBetween(10 ** first, 10 ** last, most);
    ticks = found.map((value) => ({ at: place(Math.log10(value)), text: number(value) }));
  } else {
    ticks = roundSteps(first, last, most).map((v) => ({ at: place(v), text: number(v) }));
  }
  return {
    side,
    pixels,
    edge: whole.map(place),
    middle: at.map(place),
    ticks: ticks.filter((tick) => tick.at >= -0.5 && tick.at <= pixels + 0.5),
    indexAt(pixel) {
      let low = 0;
      let high = n - 1;
      while (low < high) {
        const half = (low + high) >> 1;
        if (place(whole[half + 1]) > pixel) high = half;
        else low = half + 1;
      }
      return low;
    },
  };
}

/** A linear axis of values, with some air above and below. */
function valueAxis(low, high, pixels, title) {
  if (low === null || low === undefined) [low, high] = [0, 1];
  if (low === high) [low, high] = [low - Math.abs(low || 1) / 2, high + Math.abs(high || 1) / 2];
  const air = 0.04 * (high - low);
  const [first, last] = [low - air, high + air];
  const place = (value) => ((value - first) / (last - first)) * pixels;
  const steps = roundSteps(first, last, Math.max(2, Math.floor(pixels / 45)));
  return {
    side: { title },
    pixels,
    place,
    ticks: steps.map((value) => ({ at: place(value), text: number(value) })),
  };
}

function wordText(side, label) {
  if (typeof label === "number") return side.kind === "date" ? dateText(label, 0) : number(label);
  return label.length > 14 ? `${label.slice(0, 13)}…` : label;
}

function labelText(side, index) {
  const label = side.labels[index];
  if (side.kind === "date") return dateText(label, side.labels.length > 1 ? Math.abs(side.labels[1] - side.labels[0]) : 0);
  return typeof label === "number" ? number(label) : label;
}
