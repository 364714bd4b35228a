// Figures, and charts of the last minute.
import { axis, paths, SAMPLES } from "../../../src/dashboard/look/chart.js";
import { byId, milliseconds } from "../../../src/dashboard/look/elements.js";

const [WIDTH, HEIGHT, BARS] = [600, 180, 48];
/** The chart, and beside the switch that delays a small one, which says the same. */
const CHARTS = [
  ["chart", [WIDTH, HEIGHT]],
  ["delay-chart", [WIDTH, 60]],
];

/** A sample a second: `trip` is a round trip in milliseconds or undefined, `rate` messages a second. */
const samples = [];
let totals;
let rate = 0;

/** The server's figures have come. */
export function showFigures({ connections, messages }, now = performance.now()) {
  if (totals && messages >= totals.messages) {
    rate = Math.round(((messages - totals.messages) * 1000) / Math.max(1, now - totals.now));
  }
  totals = { messages, now };
  byId("connections").textContent = String(connections);
  byId("rate").textContent = String(rate);
}

/** A second is over. */
export function sample(trip) {
  samples.push({ trip, rate });
  if (samples.length > SAMPLES) samples.shift();
  byId("round-trip").textContent = trip === undefined ? "–" : trip < 10 ? trip.toFixed(1) : String(Math.round(trip));
  drawTrips();
  drawRates();
}

/** Nothing is known any more, as after leaving. */
export function clearFigures() {
  totals = undefined;
  rate = 0;
  for (const id of ["round-trip", "rate", "connections", "clock"]) byId(id).textContent = "–";
}

function drawTrips() {
  const trips = samples.map(({ trip }) => trip);
  const known = trips.filter((trip) => trip !== undefined);
  const { scale, outliers } = axis(known);
  const now = known.length === 0 ? "no connection" : `now ${known.at(-1).toFixed(1)} ms, at most ${Math.max(...known).toFixed(1)} ms`;
  byId("chart-title").textContent = `Round trip in milliseconds over the last minute: ${now}`;
  for (const [id, box] of CHARTS) {
    const { line, area, marks } = paths(trips, scale, box);
    byId(`${id}-line`).setAttribute("d", line);
    byId(`${id}-area`).setAttribute("d", area);
    byId(`${id}-marks`).setAttribute("d", marks);
    byId(`${id}-top`).textContent = `${scale} ms`;
    byId(`${id}-outliers`).textContent = outliers.length > 0 ? `▲ ${outliers.map(milliseconds).join(", ")}` : "";
  }
}

function drawRates() {
  const step = WIDTH / (SAMPLES - 1);
  const most = Math.max(...samples.map(({ rate }) => rate), 4);
  const bars = samples.map(({ rate }, index) => {
    if (rate === 0) return "";
    const [left, width] = [WIDTH - (samples.length - 1 - index) * step - step * 0.6, (step * 0.6).toFixed(1)];
    return `M${left.toFixed(1)} ${BARS}v${((-rate / most) * BARS).toFixed(1)}h${width}V${BARS}Z`;
  });
  byId("chart-bars").setAttribute("d", bars.join(""));
  byId("bars-title").textContent = `Messages a second over the last minute: now ${rate}, at most ${most}`;
}
