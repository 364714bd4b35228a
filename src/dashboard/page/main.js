// The dashboard: the views, the way between them, and what the service tells.
import { connectionDialog, connections } from "./connections.js";
import { byId, say } from "./dom.js";
import { clock } from "./format.js";
import { connect, on, reason } from "./hub.js";
import { groups, users } from "./names.js";
import { overview, resetTraffic } from "./overview.js";
import { addRequests, requestsView, startedAtIs } from "./requests.js";
import { current, VIEWS } from "./route.js";
import { sendView } from "./send.js";
import { showSetup } from "./setup.js";
import { tokenView } from "./token.js";

// A short loss, such as that of a laptop's sleep, is told by the state alone.
const PATIENCE = 1000;

let info = {};
let version;
let hubNames;
let lastSeen;
let telling;
let viewShown;

const lists = { connections: connections(), users: users(), groups: groups() };
const requests = requestsView();
const send = sendView(() => info);
const first = overview();
const dialog = connectionDialog(() => info);
tokenView();

function route() {
  const place = current();
  const { view, params } = place;
  if (view !== viewShown) {
    for (const name of VIEWS) byId(`view-${name}`).hidden = name !== view;
    for (const link of byId("views").children) {
      if (link.hash === `#${view}`) link.ariaCurrent = "page";
      else link.removeAttribute("aria-current");
    }
    const title = byId(`title-${view}`);
    document.title = `${title.textContent} · hubwire dashboard`;
    // Who asks for a view by the keyboard goes on from its title. The first view comes without being asked for.
    if (viewShown) {
      title.focus({ preventScroll: true });
      scrollTo({ top: 0, behavior: "instant" });
    }
    viewShown = view;
  }
  lists[view]?.open(params);
  if (view === "requests") requests.open(params);
  if (view === "send") send.open(params);
  dialog(place);
}

const STATES = { Connecting: "connecting", Connected: "connected", Reconnecting: "reconnecting" };

function tellLoss(error) {
  const refused = [401, 403].includes(error?.statusCode);
  const since = lastSeen ? ` What you see is from ${clock(lastSeen)}.` : "";
  say(byId("lost"), refused ? `This page is not allowed to connect (${error.statusCode}): ${reason(error)}` : `The service does not answer.${since} This page goes on by itself once it does.`);
}

on("state", (state, error) => {
  const isFirst = lastSeen === undefined && state === "Reconnecting";
  const shown = isFirst ? "Connecting" : state;
  document.body.dataset.state = STATES[shown];
  say(byId("state"), shown);
  if (state === "Connected") {
    clearTimeout(telling);
    telling = undefined;
    say(byId("lost"), "");
    route();
  } else if (byId("lost").textContent) {
    tellLoss(error);
  } else {
    telling ??= setTimeout(tellLoss, PATIENCE, error);
  }
});

on("info", (now) => {
  if (info.startedAt !== now.startedAt) resetTraffic();
  info = now;
  startedAtIs(info.startedAt);
  first.setInfo(info);
  send.showInfo();
  showSetup(info);
});

on("watch", (item) => {
  lastSeen = Date.now();
  addRequests(item.requests ?? [], item.missed);
  first.show(item);
  requests.show();
  const names = item.hubs.map(({ name }) => name);
  if (names.join("\n") !== hubNames) {
    hubNames = names.join("\n");
    for (const list of Object.values(lists)) list.setHubs(names);
    send.setHubs(names);
  }
  if (item.version !== version) {
    version = item.version;
    for (const list of Object.values(lists)) list.stale();
  }
});

byId("skip").addEventListener("click", (event) => {
  event.preventDefault();
  byId(`title-${current().view}`).focus();
});
addEventListener("hashchange", route);
route();
void connect();
