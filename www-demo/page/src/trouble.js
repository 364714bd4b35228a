// The switches that trouble the network, and the list of what happened.
import { byId, element, time } from "../../../src/dashboard/look/elements.js";
import { makeTrouble } from "./room.js";

const KEPT = 60;
const DELAY = 200;
const REFUSAL = 3000;
const delay = byId("delay");
const buttons = ["drop", "refuse", "expire", "delay"].map(byId);

/** Adds a line to what happened; `kind` is `good`, `bad` or nothing. */
export function addEvent(text, kind = "") {
  const log = byId("events");
  const list = log.firstElementChild;
  const item = element("li", kind);
  const at = time(Date.now(), { hour: "2-digit", minute: "2-digit", second: "2-digit", fractionalSecondDigits: 3, hour12: false });
  item.append(at, element("span", "", text));
  list.append(item);
  while (list.children.length > KEPT) list.firstElementChild.remove();
  log.scrollTop = log.scrollHeight;
}

/** Lets the switches be used, or not. A switch that was on is off afterwards. */
export function enableTrouble(enabled) {
  for (const button of buttons) button.disabled = !enabled;
  if (!enabled) delay.ariaChecked = "false";
}

/** Makes the switches work for the user that `user` names. */
export function setUpTrouble(user) {
  const make = async (trouble, text) => {
    byId("trouble-error").textContent = "";
    addEvent(text);
    try {
      await makeTrouble(user(), trouble);
    } catch (error) {
      byId("trouble-error").textContent = error.message;
    }
  };
  byId("drop").addEventListener("click", () => make({ kind: "drop" }, "You cut the connections."));
  byId("refuse").addEventListener("click", () =>
    make({ kind: "refuse", milliseconds: REFUSAL }, "You cut the connections and refuse new ones for 3 s."),
  );
  byId("expire").addEventListener("click", () =>
    make({ kind: "expire" }, "You let the token expire and cut the connections."),
  );
  delay.addEventListener("click", () => {
    const on = delay.ariaChecked !== "true";
    delay.ariaChecked = String(on);
    void make({ kind: "delay", milliseconds: on ? DELAY : 0 }, on ? `You delay everything by ${DELAY} ms.` : "No more delay.");
  });
}

/** Takes back a delay that an earlier stay may have left. */
export const withoutDelay = (user) => makeTrouble(user, { kind: "delay", milliseconds: 0 }).catch(() => {});
