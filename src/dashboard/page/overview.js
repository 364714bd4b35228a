// Figures, traffic, hubs, what failed lately, and what the service says of itself.
import { bytes } from "../look/elements.js";
import { paths, SAMPLES } from "../look/chart.js";
import { byId, element, filled, pairs, say } from "./dom.js";
import { clock, duration, number } from "./format.js";
import { call } from "./hub.js";
import { failed, kindOf, outcomeOf, whatOf } from "./requests.js";
import { address, current } from "./route.js";
import { caption, linked, Table, text } from "./table.js";

const BOX = [600, 120];
const LEAST = 10;
const MOST_METHODS = 50;
const METHODS_EVERY = 2000;
const MODES = {
  serverless: "Azure SignalR Service on this machine, serverless mode",
  default: "Azure SignalR Service on this machine, default mode",
  selfHosted: "hubs of this server",
  azure: "hubs of this server, behind Azure SignalR Service",
  farm: "hubs of this server, one of several",
};

/** Messages a second, in and out, one pair a second; undefined where nothing was known. */
const samples = [];
let latest;
let sampled;

export const resetTraffic = () => {
  latest = undefined;
  sampled = undefined;
};

/** The round number that a chart has to reach for what is in it. */
export function scaleFor(most) {
  if (most <= LEAST) return LEAST;
  const power = 10 ** Math.floor(Math.log10(most));
  return [1, 2, 5, 10].map((step) => step * power).find((scale) => scale >= most);
}

function sample() {
  const now = performance.now();
  let rates;
  if (latest && sampled && document.body.dataset.state === "connected") {
    const seconds = Math.max(0.5, (now - sampled.now) / 1000);
    const rate = (name) => Math.max(0, latest[name] - sampled.traffic[name]) / seconds;
    rates = { in: rate("messagesIn"), out: rate("messagesOut"), bytesIn: rate("bytesIn"), bytesOut: rate("bytesOut") };
  }
  if (latest) sampled = { now, traffic: latest };
  samples.push(rates);
  if (samples.length > SAMPLES) samples.shift();
  if (current().view === "overview" && !document.hidden) draw();
}

function draw() {
  const [ins, outs] = ["in", "out"].map((way) => samples.map((rates) => rates?.[way]));
  const scale = scaleFor(Math.max(0, ...[...ins, ...outs].filter((rate) => rate !== undefined)));
  const [inPaths, outPaths] = [paths(ins, scale, BOX), paths(outs, scale, BOX)];
  byId("chart-area").setAttribute("d", inPaths.area);
  byId("chart-in").setAttribute("d", inPaths.line);
  byId("chart-out").setAttribute("d", outPaths.line);
  say(byId("chart-top"), `${number(scale)} a second`);
  const now = samples.at(-1);
  const whole = (rate) => number(Math.round(rate));
  say(byId("rate"), now ? whole(now.in + now.out) : "–");
  say(byId("bytes"), now ? `in ${bytes(Math.round(now.bytesIn))}, out ${bytes(Math.round(now.bytesOut))} a second` : "–");
  const said = now ? `now ${whole(now.in)} in and ${whole(now.out)} out, at most ${number(scale)}` : "not known";
  say(byId("chart-title"), `Messages a second over the last minute: ${said}`);
}

export function overview() {
  let info;
  const hubsPlace = byId("hubs");
  const none = element("p", "empty", "No hubs so far. One appears with its first connection.");
  const hubs = new Table(
    hubsPlace,
    caption("Hubs", true),
    [
      linked("Hub", ({ name }) => name, ({ name }) => address("connections", { hub: name })),
      text("Connections", ({ connections }) => number(connections), "figure"),
      linked("Users", ({ users }) => number(users), ({ name }) => address("users", { hub: name }), "figure"),
      linked("Groups", ({ groups }) => number(groups), ({ name }) => address("groups", { hub: name }), "figure"),
      text("App servers", ({ servers }) => (servers === undefined || servers === null ? "–" : number(servers)), "figure"),
    ],
    ({ name }) => name,
  );
  hubsPlace.append(none);
  setInterval(sample, 1000);
  const methods = new Table(
    byId("methods"),
    caption("Methods that clients call", true),
    [
      text("Method", ({ name }) => name, "mono"),
      text("Hub", ({ hub }) => hub),
      text("Calls", ({ calls }) => number(calls), "figure"),
      text("Failed", ({ errors }) => number(errors), "figure"),
    ],
    ({ hub, name }) => `${hub}/${name}`,
  );

  // Hosted hubs alone count them.
  async function showMethods() {
    if (info?.kind !== "hosted" || current().view !== "overview" || document.hidden) return;
    const { items } = await call("Methods", { offset: 0, limit: MOST_METHODS });
    byId("methods").hidden = items.length === 0;
    methods.show(items);
  }
  // What fails here fails with the connection, which is told of by itself.
  setInterval(() => showMethods().catch(() => {}), METHODS_EVERY);

  function showFailed() {
    const lately = failed();
    byId("failed-none").hidden = lately.length > 0;
    byId("failed-more").hidden = lately.length === 0;
    const shown = lately.map(({ request, times }) => `${request.id}/${times}`).join();
    if (byId("failed-list").dataset.shown === shown) return;
    byId("failed-list").dataset.shown = shown;
    byId("failed-list").replaceChildren(
      ...lately.map(({ request, times }) => {
        const what = filled("span", "", element("strong", "", kindOf(request)), ` ${whatOf(request)}`);
        if (times > 1) what.append(" ", element("span", "fine", `${number(times)} times`));
        return filled("li", "", element("span", "fine", clock(request.at)), what, element("span", "bad", outcomeOf(request)));
      }),
    );
  }

  function showService() {
    if (!info) return;
    const { limits = {} } = info;
    say(byId("service-title"), info.kind === "local" ? "Local service" : "Hosted hubs");
    pairs(byId("service"), [
      ["What it is", MODES[info.mode] ?? info.mode],
      ["Version", info.version],
      ["Address", info.endpoint],
      ["Address by TLS", info.httpsEndpoint],
      ["Entra authority", info.authority],
      ["Runs since", `${clock(info.startedAt)}, ${duration(Date.now() - info.startedAt)}`],
      ["Connections at most", limits.maxConnections && number(limits.maxConnections)],
      ["Message at most", limits.messageBytes && bytes(limits.messageBytes)],
      ["Note", info.note],
    ]);
  }

  return {
    setInfo(now) {
      info = now;
      showService();
      showMethods().catch(() => {});
      say(byId("about"), `hubwire ${info.version}: ${MODES[info.mode] ?? info.mode}.`);
    },
    show(item) {
      latest = item.traffic;
      sampled ??= { now: performance.now(), traffic: latest };
      const sum = (name) => number(item.hubs.reduce((total, hub) => total + hub[name], 0));
      for (const name of ["connections", "users", "groups"]) say(byId(`sum-${name}`), sum(name));
      hubs.element.classList.toggle("no-servers", !item.hubs.some(({ servers }) => servers !== undefined && servers !== null));
      hubs.show(item.hubs);
      none.hidden = item.hubs.length > 0;
      showFailed();
      showService();
    },
  };
}
