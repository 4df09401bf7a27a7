// Draws a picture on a canvas: a map, a line or points, with axes and a color bar.

const STATE_COLORS = {
  pending: "#9a9a9a55", done: "#0072b2", failed: "#d55e00", stale: "#cc79a7", blocked: "#e69f00",
};

function paletteOf(hex) {
  const found = new Uint8Array(256 * 3);
  for (let i = 0; i < 768; i++) found[i] = parseInt(hex.slice(2 * i, 2 * i + 2), 16);
  return found;
}

function rgba(color) {
  const at = (i) => parseInt(color.slice(i, i + 2), 16);
  return [at(1), at(3), at(5), color.length > 7 ? at(7) : 255];
}

/** A NaN with this in its bits stands where a run failed. */
const FAILED_BITS = 0x7fc00001;

function failedIn(grid) {
  const bits = new Uint32Array(grid.buffer, grid.byteOffset, grid.length);
  return (i) => bits[i] === FAILED_BITS;
}

function colorsOf(picture, palette) {
  if (picture.words) {
    const table = {};
    for (const [code, word] of Object.entries(picture.words)) table[code] = rgba(STATE_COLORS[word]);
    return (value) => table[value] || null;
  }
  const low = picture.low ?? 0;
  const range = picture.high - picture.low || 1;
  return (value) => {
    if (Number.isNaN(value)) return null;
    const share = picture.high === picture.low ? 0.5 : (value - low) / range;
    const i = 3 * Math.max(0, Math.min(255, Math.round(share * 255)));
    return [palette[i], palette[i + 1], palette[i + 2], 255];
  };
}

function themeOf(node) {
  const style = getComputedStyle(node);
  const of = (name, other) => style.getPropertyValue(name).trim() || other;
  return {
    text: style.color,
    faint: of("--tk-line", "#8888"),
    ground: of("--tk-ground", "#f5f5f5"),
    accent: of("--tk-accent", "#0072b2"),
    font: style.fontFamily || "sans-serif",
  };
}

/** Draws into a canvas; returns what tells which cell is at a pixel, and where cells lie. */
function drawPicture(canvas, picture, sides, grid, palette) {
  const theme = themeOf(canvas);
  const width = Math.max(260, canvas.parentNode.clientWidth);
  const height = Math.round(Math.max(230, Math.min(460, width * 0.56)));
  const ratio = Math.max(1, Math.min(3, window.devicePixelRatio || 1));
  if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
    canvas.style.width = `${width}px`;
    canvas.style.height = `${height}px`;
  }
  const pen = canvas.getContext("2d");
  pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  pen.clearRect(0, 0, width, height);
  pen.font = `12px ${theme.font}`;
  const isColored = picture.kind === "map" || (picture.kind === "scatter" && sides.y);
  const box = { left: 0, top: 10, right: 0, bottom: 46 };
  const tall = height - box.top - box.bottom;
  const y = picture.kind === "line" || !sides.y ? rangeAxis(picture, grid, tall)
    : picture.kind === "map" ? axisOf(sides.y, tall, 26) : pointAxis(sides.y, tall, 40);
  box.left = 34 + Math.max(...y.ticks.map((tick) => pen.measureText(tick.text).width), 10);
  box.right = !isColored ? 16 : picture.words ? 90
    : 58 + Math.max(16, ...scaleSteps(picture, tall).map((v) => pen.measureText(number(v)).width));
  const wide = width - box.left - box.right;
  const x = picture.kind === "scatter" ? pointAxis(sides.x, wide, 70) : axisOf(sides.x, wide, 70);
  pen.fillStyle = theme.ground;
  pen.fillRect(box.left, box.top, wide, tall);
  const color = colorsOf(picture, palette);
  pen.save();
  pen.beginPath();
  pen.rect(box.left, box.top, wide, tall);
  pen.clip();
  if (picture.kind === "map") drawCells(pen, box, x, y, grid, color, ratio);
  else if (picture.kind === "line") drawLine(pen, box, x, y, picture, grid, theme);
  else drawPoints(pen, box, x, y, sides, grid, color, theme);
  pen.restore();
  drawAxes(pen, box, x, y, wide, tall, theme);
  if (isColored) drawScale(pen, box, wide, tall, picture, palette, theme);
  return { box, x, y, wide, tall };
}

function rangeAxis(picture, grid, tall) {
  let { low, high } = picture;
  if (picture.words) [low, high] = [0, 5];
  if (picture.band) {
    for (const value of grid) {
      if (Number.isFinite(value)) {
        if (low === null || value < low) low = value;
        if (high === null || value > high) high = value;
      }
    }
  }
  const axis = valueAxis(low, high, tall, picture.title);
  if (picture.words) {
    axis.ticks = Object.entries(picture.words).map(([code, text]) => ({ at: axis.place(+code), text }));
  }
  return axis;
}

function pointAxis(side, pixels, room) {
  const usable = side.labels.filter((each) => typeof each === "number" && Number.isFinite(each));
  if (side.kind === "word" || !usable.length) return axisOf(side, pixels, room);
  const isLog = side.log;
  const ends = [Math.min(...usable), Math.max(...usable)];
  const axis = isLog ? null : valueAxis(ends[0], ends[1], pixels, side.title);
  if (axis) {
    axis.middle = side.labels.map(axis.place);
    axis.side = side;
    return axis;
  }
  const low = Math.log10(ends[0]);
  const span = Math.log10(ends[1]) - low || 1;
  const place = (value) => (0.03 + (0.94 * (Math.log10(value) - low)) / span) * pixels;
  const ticks = powersBetween(ends[0], ends[1], Math.max(2, Math.floor(pixels / room)));
  return {
    side, pixels, place, middle: side.labels.map(place),
    ticks: ticks.map((value) => ({ at: place(value), text: number(value) })),
  };
}

/** Each pixel gets the color of its cell: labels may lie at uneven distances. */
function drawCells(pen, box, x, y, grid, color, ratio) {
  const [wide, tall] = [Math.round(x.pixels * ratio), Math.round(y.pixels * ratio)];
  const n = x.middle.length;
  const image = new ImageData(wide, tall);
  const columns = new Int32Array(wide);
  for (let i = 0; i < wide; i++) columns[i] = x.indexAt((i + 0.5) / ratio);
  const words = new Uint32Array(image.data.buffer);
  const table = new Uint32Array(grid.length);
  const pack = new Uint8ClampedArray(4);
  const packed = new Uint32Array(pack.buffer);
  const isFailed = failedIn(grid);
  const failed = rgba(STATE_COLORS.failed);
  for (let i = 0; i < grid.length; i++) {
    const found = isFailed(i) ? failed : color(grid[i]);
    if (found) {
      pack.set(found);
      table[i] = packed[0];
    }
  }
  for (let j = 0; j < tall; j++) {
    const row = n * y.indexAt(y.pixels - (j + 0.5) / ratio);
    for (let i = 0; i < wide; i++) words[j * wide + i] = table[row + columns[i]];
  }
  const sheet = document.createElement("canvas");
  [sheet.width, sheet.height] = [wide, tall];
  sheet.getContext("2d").putImageData(image, 0, 0);
  pen.imageSmoothingEnabled = false;
  pen.drawImage(sheet, box.left, box.top, x.pixels, y.pixels);
}

function drawLine(pen, box, x, y, picture, grid, theme) {
  const n = x.middle.length;
  const upward = (value) => box.top + y.pixels - y.place(value);
  const across = (i) => box.left + x.middle[i];
  if (picture.band) {
    pen.fillStyle = theme.accent;
    pen.globalAlpha = 0.18;
    stretches(grid.subarray(n, 2 * n), (first, last) => {
      pen.beginPath();
      for (let i = first; i < last; i++) pen.lineTo(across(i), upward(grid[n + i]));
      for (let i = last - 1; i >= first; i--) pen.lineTo(across(i), upward(grid[2 * n + i]));
      pen.fill();
    });
    pen.globalAlpha = 1;
  }
  pen.strokeStyle = theme.accent;
  pen.fillStyle = theme.accent;
  pen.lineWidth = 1.6;
  stretches(grid.subarray(0, n), (first, last) => {
    pen.beginPath();
    for (let i = first; i < last; i++) pen.lineTo(across(i), upward(grid[i]));
    pen.stroke();
    if (n <= 60 || last - first === 1) {
      for (let i = first; i < last; i++) {
        pen.beginPath();
        pen.arc(across(i), upward(grid[i]), 2.6, 0, 7);
        pen.fill();
      }
    }
  });
  const isFailed = failedIn(grid);
  pen.fillStyle = STATE_COLORS.failed;
  for (let i = 0; i < n; i++) {
    if (isFailed(i)) pen.fillRect(across(i) - 2.5, box.top + y.pixels - 5, 5, 5);
  }
}

function stretches(values, take) {
  let first = -1;
  for (let i = 0; i <= values.length; i++) {
    const isThere = i < values.length && Number.isFinite(values[i]);
    if (isThere && first < 0) first = i;
    if (!isThere && first >= 0) {
      take(first, i);
      first = -1;
    }
  }
}

function drawPoints(pen, box, x, y, sides, grid, color, theme) {
  const radius = grid.length > 5000 ? 1.6 : grid.length > 800 ? 2.4 : 3.6;
  const isFailed = failedIn(grid);
  for (let i = 0; i < grid.length; i++) {
    const value = grid[i];
    const isBlank = Number.isNaN(value);
    if (isBlank && !sides.y && !isFailed(i)) continue;
    const up = sides.y ? y.middle[i] : isBlank ? radius : y.place(value);
    const at = [box.left + x.middle[i], box.top + y.pixels - up];
    pen.beginPath();
    pen.arc(at[0], at[1], radius, 0, 7);
    if (isFailed(i)) {
      pen.fillStyle = STATE_COLORS.failed;
      pen.fill();
      continue;
    }
    if (isBlank) {
      pen.strokeStyle = theme.faint;
      pen.lineWidth = 1;
      pen.stroke();
      continue;
    }
    const found = sides.y ? color(value) : null;
    pen.fillStyle = found ? `rgb(${found[0]} ${found[1]} ${found[2]})` : theme.accent;
    pen.fill();
  }
}

function drawAxes(pen, box, x, y, wide, tall, theme) {
  pen.strokeStyle = theme.text;
  pen.fillStyle = theme.text;
  pen.globalAlpha = 0.75;
  pen.lineWidth = 1;
  pen.strokeRect(box.left - 0.5, box.top - 0.5, wide + 1, tall + 1);
  pen.globalAlpha = 1;
  pen.textAlign = "center";
  pen.textBaseline = "top";
  let free = -Infinity;
  for (const tick of x.ticks) {
    const half = pen.measureText(tick.text).width / 2;
    const at = box.left + tick.at;
    pen.beginPath();
    pen.moveTo(at, box.top + tall);
    pen.lineTo(at, box.top + tall + 4);
    pen.stroke();
    if (at - half < free) continue;
    pen.fillText(tick.text, at, box.top + tall + 7);
    free = at + half + 6;
  }
  pen.fillText(fitted(pen, x.side.title, wide + box.left), box.left + wide / 2, box.top + tall + 26);
  pen.textAlign = "right";
  pen.textBaseline = "middle";
  for (const tick of y.ticks) {
    const at = box.top + tall - tick.at;
    pen.beginPath();
    pen.moveTo(box.left - 4, at);
    pen.lineTo(box.left, at);
    pen.stroke();
    pen.fillText(tick.text, box.left - 7, at);
  }
  sideways(pen, fitted(pen, y.side.title, tall), 10, box.top + tall / 2);
}

function sideways(pen, text, x, y) {
  pen.save();
  pen.translate(x, y);
  pen.rotate(-Math.PI / 2);
  pen.textAlign = "center";
  pen.textBaseline = "middle";
  pen.fillText(text, 0, 0);
  pen.restore();
}

function fitted(pen, text, pixels) {
  if (pen.measureText(text).width <= pixels) return text;
  let kept = text;
  while (kept.length > 3 && pen.measureText(`${kept}…`).width > pixels) kept = kept.slice(0, -1);
  return `${kept}…`;
}

function scaleSteps(picture, tall) {
  if (picture.low === null) return [];
  if (picture.low === picture.high) return [picture.low];
  return roundSteps(picture.low, picture.high, Math.max(2, Math.floor(tall / 50)));
}

function drawScale(pen, box, wide, tall, picture, palette, theme) {
  const left = box.left + wide + 14;
  pen.textAlign = "left";
  pen.textBaseline = "middle";
  if (picture.words) {
    Object.values(picture.words).forEach((word, i) => {
      pen.fillStyle = STATE_COLORS[word];
      pen.fillRect(left, box.top + 20 * i, 12, 12);
      pen.fillStyle = theme.text;
      pen.fillText(word, left + 18, box.top + 20 * i + 6.5);
    });
    return;
  }
  if (picture.low === null) return;
  for (let j = 0; j < tall; j++) {
    const i = 3 * Math.round(255 * (1 - j / Math.max(1, tall - 1)));
    pen.fillStyle = `rgb(${palette[i]} ${palette[i + 1]} ${palette[i + 2]})`;
    pen.fillRect(left, box.top + j, 12, 1.5);
  }
  pen.fillStyle = theme.text;
  pen.strokeStyle = theme.text;
  const range = picture.high - picture.low;
  for (const value of scaleSteps(picture, tall)) {
    const at = box.top + tall - (range ? (value - picture.low) / range : 0.5) * tall;
    pen.fillText(number(value), left + 17, at);
  }
  sideways(pen, fitted(pen, picture.title, tall), box.left + wide + box.right - 8, box.top + tall / 2);
}
