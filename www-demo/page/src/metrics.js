// Figures, and a chart of the last minute.
import { byId } from "./elements.js";

const SAMPLES = 60;
const [WIDTH, HEIGHT, BARS] = [600, 180, 48];
const SCALES = [10, 20, 50, 100, 200, 300, 500, 750, 1000, 1500, 2000, 3000, 5000, 10_000, 30_000];

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
  draw();
}

/** Nothing is known any more, as after leaving. */
export function clearFigures() {
  totals = undefined;
  rate = 0;
  for (const id of ["round-trip", "rate", "connections", "clock"]) byId(id).textContent = "–";
}

function draw() {
  const trips = samples.map(({ trip }) => trip).filter((trip) => trip !== undefined);
  const worst = Math.max(...trips, 0);
  const scale = SCALES.find((scale) => scale >= worst * 1.1) ?? worst;
  const step = WIDTH / (SAMPLES - 1);
  const x = (index) => WIDTH - (samples.length - 1 - index) * step;
  const y = (trip) => HEIGHT - (trip / scale) * HEIGHT;

  // Where there was no connection, the line has a gap.
  const runs = [];
  samples.forEach(({ trip }, index) => {
    if (trip === undefined) runs.push([]);
    else (runs.at(-1) ?? runs[runs.push([]) - 1]).push(`${x(index).toFixed(1)} ${y(trip).toFixed(1)}`);
  });
  const drawn = runs.filter((run) => run.length > 0);
  byId("chart-line").setAttribute("d", drawn.map((run) => `M${run.join("L")}${run.length === 1 ? "h0.1" : ""}`).join(""));
  const foot = (point) => `${point.split(" ")[0]} ${HEIGHT}`;
  const areas = drawn.map((run) => `M${foot(run[0])}L${run.join("L")}L${foot(run.at(-1))}Z`);
  byId("chart-area").setAttribute("d", areas.join(""));
  byId("chart-top").textContent = `${scale} ms`;

  const most = Math.max(...samples.map(({ rate }) => rate), 4);
  const bars = samples.map(({ rate }, index) => {
    const height = (rate / most) * BARS;
    return rate > 0 ? `M${(x(index) - step * 0.6).toFixed(1)} ${BARS}v${-height.toFixed(1)}h${(step * 0.6).toFixed(1)}V${BARS}Z` : "";
  });
  byId("chart-bars").setAttribute("d", bars.join(""));

  const last = trips.at(-1);
  const now = last === undefined ? "no connection" : `now ${last.toFixed(1)} ms, at most ${worst.toFixed(1)} ms`;
  byId("chart-title").textContent = `Round trip in milliseconds over the last minute: ${now}`;
  byId("bars-title").textContent = `Messages a second over the last minute: now ${rate}, at most ${most}`;
}
