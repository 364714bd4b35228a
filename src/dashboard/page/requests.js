// The requests that the service has had: the last ones, the newest first.
import { milliseconds } from "../look/elements.js";
import { byId, options, say, settled } from "./dom.js";
import { clock, number, plural } from "./format.js";
import { address, current, replace } from "./route.js";
import { caption, linked, Table, text } from "./table.js";

const KEPT = 500;
const AT_ONCE = 50;
const TYPING = 200;
const LATELY = 5;
const KINDS = {
  negotiate: "Negotiate",
  connect: "Connect",
  disconnect: "Disconnect",
  call: "Call",
  send: "Send",
  rest: "REST",
  token: "Token",
  identity: "Identity",
  upstream: "Upstream",
  server: "App server",
  refused: "Refused",
};

let kept = [];
let seen;
let missed = 0;
let startedAt;

export const kindOf = ({ kind }) => KINDS[kind] ?? kind;
export const whatOf = ({ method, path, target }) => [[method, path].filter(Boolean).join(" "), target].filter(Boolean).join(" · ") || "–";
export const outcomeOf = ({ outcome, status, reason }) => [status, reason ?? (outcome === "ok" ? undefined : "failed")].filter(Boolean).join(" ") || "ok";

/** Of a service that was started anew nothing of before is left. */
export function startedAtIs(at) {
  if (startedAt === at) return;
  startedAt = at;
  kept = [];
  missed = 0;
}

/** Adds new requests, the oldest first. A stream that begins anew brings some that are known. */
export function addRequests(requests, lost) {
  const known = new Set(kept.map(({ id }) => id));
  const fresh = requests.filter(({ id }) => !known.has(id));
  kept = [...fresh.reverse(), ...kept].slice(0, KEPT);
  missed += lost ?? 0;
}

/** The last ones that failed, each with how often it did in the same way. */
export function failed() {
  const found = new Map();
  for (const request of kept) {
    if (request.outcome !== "error") continue;
    const same = [request.kind, whatOf(request), request.hub, outcomeOf(request)].join("\n");
    if (found.has(same)) found.get(same).times += 1;
    else if (found.size < LATELY) found.set(same, { request, times: 1 });
  }
  return [...found.values()];
}

/** Makes the view work; gives what shows it. */
export function requestsView() {
  const form = byId("request-filters");
  const { kind, outcome, search } = form.elements;
  const pause = byId("pause");
  const more = byId("request-more");
  let limit = AT_ONCE;
  let held;
  options(kind, [["", "Any"], ...Object.entries(KINDS)], "");
  const table = new Table(
    byId("request-table"),
    caption("Requests"),
    [
      text("Time", ({ at }) => clock(at), "nowrap"),
      text("Kind", kindOf, "kind"),
      text("What", whatOf, "mono what"),
      text("Hub", ({ hub }) => hub ?? "–"),
      linked("User", ({ user, connection }) => user ?? connection ?? "–", ({ hub, user, connection }) =>
        user ? address("connections", { hub, user }) : connection && address("connections", { of: hub, connection }),
      ),
      {
        title: "Outcome",
        className: "outcome",
        fill(cell, request) {
          say(cell, outcomeOf(request));
          cell.classList.toggle("bad", request.outcome === "error");
        },
      },
      text("Took", ({ ms }) => (ms === undefined || ms === null ? "–" : milliseconds(ms)), "figure"),
    ],
    ({ id }) => id,
  );

  function show() {
    if (current().view !== "requests") return;
    const wanted = search.value.trim().toLowerCase();
    const all = held ?? kept;
    const matching = all.filter(
      (request) =>
        (!kind.value || request.kind === kind.value) &&
        (!outcome.value || request.outcome === outcome.value) &&
        (!wanted || [kindOf(request), whatOf(request), request.hub, request.user, request.connection, outcomeOf(request)].join("\n").toLowerCase().includes(wanted)),
    );
    table.show(matching.slice(0, limit));
    more.hidden = matching.length <= limit;
    const count = matching.length === all.length ? plural(all.length, "request") : `${number(matching.length)} of ${plural(all.length, "request")}`;
    const rest = [held && "Paused: newer ones are not shown.", missed > 0 && `${plural(missed, "more was", "more were")} too many at once to be shown.`];
    say(byId("request-count"), [`${count}, the newest first.`, ...rest].filter(Boolean).join(" "));
  }

  const change = () => {
    // Who has gone on to another view meanwhile stays there.
    if (current().view !== "requests") return;
    limit = AT_ONCE;
    replace("requests", { kind: kind.value, outcome: outcome.value, search: search.value });
  };
  form.addEventListener("input", settled(TYPING, change));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    change();
  });
  pause.addEventListener("click", () => {
    held = held ? undefined : kept;
    pause.ariaPressed = String(held !== undefined);
    show();
  });
  more.addEventListener("click", () => {
    limit += AT_ONCE;
    show();
  });
  return {
    show,
    open(params) {
      for (const field of [kind, outcome, search]) {
        const value = params.get(field.name) ?? "";
        if (field.value !== value && field !== document.activeElement) field.value = value;
      }
      show();
    },
  };
}
