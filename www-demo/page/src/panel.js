// What is known of the connection: its state, what was negotiated, the token; and the drawing at the top.
import { byId } from "../../../src/dashboard/look/elements.js";
import { PROTOCOL } from "./room.js";

const [life, lifeText, lifeLeft, lifeBar, lifeFill] = ["life", "life-text", "life-left", "life-bar", "life-fill"].map(byId);
const still = matchMedia("(prefers-reduced-motion: reduce)");
const SOON = 60;

let ticking;

/** Shows a state of the connection. */
export function showState(state) {
  document.body.dataset.state = state.toLowerCase();
  byId("state").textContent = state;
}

/** Shows what was negotiated, as far as it is known. */
export function showNegotiated(connection, token) {
  const { url, transport, connectionId, negotiateVersion } = connection?.negotiated ?? {};
  fill("negotiated", {
    url: url && new URL(url).origin,
    hub: token?.hub,
    transport,
    protocol: transport && PROTOCOL.name,
    connectionId: connection?.connectionId ?? connectionId,
    negotiateVersion,
  });
}

/** Shows a token, and how long it is still valid from second to second. */
export function showToken(token) {
  clearInterval(ticking);
  const { userId, roles, audience, algorithm, keyId } = token;
  fill("token", { userId, roles: roles.join(", "), audience: audience.join(" "), algorithm, keyId });
  const { expiresAt } = token;
  if (expiresAt === undefined) {
    lifeText.textContent = "Does not expire";
    return;
  }
  const total = expiresAt - (token.issuedAt ?? token.notBefore ?? Math.floor(Date.now() / 1000));
  lifeBar.ariaValueMax = String(total);
  const tick = () => showLife(Math.max(0, Math.min(total, Math.round(expiresAt - Date.now() / 1000))), total);
  tick();
  ticking = setInterval(tick, 1000);
}

function showLife(left, total) {
  const clock = `${Math.floor(left / 60)}:${String(left % 60).padStart(2, "0")}`;
  lifeText.textContent = left > 0 ? "Valid for" : "Expired. The next reconnect gets a new one.";
  lifeLeft.textContent = left > 0 ? clock : "";
  lifeBar.ariaValueNow = String(left);
  lifeBar.ariaValueText = left > 0 ? `${clock} left` : "expired";
  lifeFill.style.setProperty("--part", total > 0 ? left / total : 0);
  life.dataset.life = left === 0 ? "over" : left <= SOON ? "soon" : "good";
  if (left === 0) clearInterval(ticking);
}

function fill(list, values) {
  for (const [name, value] of Object.entries(values)) {
    byId(list).querySelector(`[data-field="${name}"]`).textContent = value ?? "";
  }
}

/** Lets a pulse run along a wire: `negotiate`, `send`, `publish` or `receive`. */
export function pulse(wire) {
  if (still.matches) return;
  const frames = [{ strokeDashoffset: 12, opacity: 1 }, { strokeDashoffset: -100, opacity: 1 }];
  byId(`pulse-${wire}`).animate(frames, { duration: 650, easing: "ease-in-out" });
}
