// Draws the round trips of the last minute.

export const SAMPLES = 60;
const SCALES = [10, 20, 50, 100, 200, 300, 500, 750, 1000, 1500, 2000, 3000, 5000, 10_000, 30_000];
// One sample in so many may be left out of the scale, and one at any time, if it is so many times what the others are.
const RARE = 20;
const FAR = 2;
const FEW = 4;

/** How high the axis has to be for round trips, and how many of them stand out of it. */
export function axis(trips) {
  const sorted = trips.toSorted((a, b) => b - a);
  const rare = sorted.length < FEW ? 0 : Math.max(1, Math.floor(sorted.length / RARE));
  const usual = sorted[rare] ?? 0;
  const outliers = sorted.slice(0, rare).filter((trip) => trip > usual * FAR && trip > SCALES[0]);
  const worst = sorted[outliers.length] ?? 0;
  const scale = SCALES.find((scale) => scale >= worst * 1.1) ?? worst;
  // What fits on the axis does not stand out of it.
  return { scale, outliers: outliers.filter((trip) => trip > scale) };
}

/**
 * The paths of round trips, one a second and undefined where there was no connection, in a box: the line, the area under
 * it, and a mark at the top for whatever is higher than the scale.
 */
export function paths(trips, scale, [width, height]) {
  const step = width / (SAMPLES - 1);
  const x = (index) => (width - (trips.length - 1 - index) * step).toFixed(1);
  const y = (trip) => (height - (Math.min(trip, scale) / scale) * height).toFixed(1);
  const runs = [[]];
  trips.forEach((trip, index) => {
    if (trip === undefined) runs.push([]);
    else runs.at(-1).push([x(index), y(trip)]);
  });
  const drawn = runs.filter((run) => run.length > 0);
  const joined = (run) => run.map((point) => point.join(" ")).join("L");
  return {
    line: drawn.map((run) => `M${joined(run)}${run.length === 1 ? "h0.1" : ""}`).join(""),
    area: drawn.map((run) => `M${run[0][0]} ${height}L${joined(run)}L${run.at(-1)[0]} ${height}Z`).join(""),
    marks: trips.map((trip, index) => (trip > scale ? `M${x(index)} 0v${height / 12}` : "")).join(""),
  };
}
