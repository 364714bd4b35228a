// The connections, and one of them in a dialog.
import { bytes } from "../look/elements.js";
import { copyButton } from "./copy.js";
import { byId, element, filled, link, pairs, say } from "./dom.js";
import { clock, duration, number } from "./format.js";
import { call, reason } from "./hub.js";
import { List } from "./list.js";
import { address, current, replace } from "./route.js";
import { caption, linked, Table, text } from "./table.js";

const REFRESH = 1000;
const key = ({ hub, id }) => `${hub}/${id}`;

export const connections = () =>
  new List("connections", "Connections", {
    filters: ["user", "group", "search"],
    key,
    ask: (filter) => call("Connections", filter),
    columns: [
      linked("Connection", ({ id }) => id, ({ hub, id }) => address("connections", { ...Object.fromEntries(current().params), of: hub, connection: id }), "mono id"),
      text("Hub", ({ hub }) => hub),
      text("User", ({ user }) => user ?? "–"),
      text("Since", ({ since }) => clock(since), "nowrap"),
      text("Transport", ({ transport, protocol }) => `${transport}, ${protocol}`, "minor transport"),
      text("Groups", ({ groups, groupCount }) => groups.slice(0, 3).join(", ") + (groupCount > 3 ? ` and ${groupCount - 3} more` : "") || "–", "minor"),
      text("Messages in", ({ messagesIn }) => number(messagesIn), "figure"),
      text("Messages out", ({ messagesOut }) => number(messagesOut), "figure"),
    ],
  });

/** Makes the dialog work; gives what opens and closes it with the address. */
export function connectionDialog(info) {
  const dialog = byId("connection");
  const ended = byId("connection-ended");
  const form = byId("close");
  const idCode = element("code");
  const copy = copyButton("Copy the id", () => idCode.textContent);
  const idPart = filled("span", "with-button", idCode, copy);
  const claims = new Table(
    byId("connection-claims"),
    caption("Claims", true),
    [text("Claim", ({ name }) => name, "mono"), text("Value", ({ value }) => value)],
    ({ name, value }) => `${name}=${value}`,
  );
  let shown;

  const leave = () => {
    const { view, params } = current();
    if (!params.has("connection")) return;
    const { connection, of, ...rest } = Object.fromEntries(params);
    replace(view, rest);
  };
  dialog.addEventListener("close", leave);
  dialog.addEventListener("click", ({ target }) => target === dialog && dialog.close());
  byId("connection-done").addEventListener("click", () => dialog.close());

  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const { reason: why, allowReconnect } = form.elements;
    const { hub, id } = shown;
    try {
      await call("Close", { hub, connection: id, reason: why.value || undefined, allowReconnect: allowReconnect.checked });
      say(byId("connection-error"), "");
      if (shown?.id === id) await load();
    } catch (error) {
      say(byId("connection-error"), reason(error));
    }
  });

  async function load() {
    const { hub, id } = shown;
    let connection;
    try {
      connection = await call("Connection", hub, id);
      say(byId("connection-error"), "");
    } catch (error) {
      say(byId("connection-error"), reason(error));
      return;
    }
    if (shown?.id !== id || shown.hub !== hub) return;
    const isThere = connection !== null && connection !== undefined;
    ended.hidden = isThere;
    form.hidden = !isThere || info().canClose === false;
    byId("connection-send-actions").hidden = !isThere || info().canSend === false;
    if (isThere) show(connection);
  }

  function show({ user, groups, claims: said, since, expiresAt, ...rest }) {
    const { messagesIn, messagesOut, bytesIn, bytesOut } = rest;
    pairs(byId("connection-facts"), [
      ["Id", idPart],
      ["Hub", rest.hub],
      ["User", user ?? "–"],
      ["Transport", rest.transport],
      ["Protocol", `${rest.protocol}${rest.stateful ? ", stateful reconnect" : ""}`],
      ["Since", `${clock(since)}, ${duration(Date.now() - since)}`],
      ["Token ends", expiresAt && (expiresAt > Date.now() ? `${clock(expiresAt)}, in ${duration(expiresAt - Date.now())}` : `${clock(expiresAt)}, over`)],
      ["In", `${number(messagesIn)} messages, ${bytes(bytesIn)}`],
      ["Out", `${number(messagesOut)} messages, ${bytes(bytesOut)}`],
      ["Waiting", rest.waitingBytes ? bytes(rest.waitingBytes) : undefined],
      ["App server", rest.server],
      ["Query", rest.query],
    ]);
    say(idCode, rest.id);
    byId("connection-groups-title").textContent = `Groups (${number(rest.groupCount)})`;
    const tags = byId("connection-groups");
    const names = JSON.stringify([rest.hub, groups, rest.groupCount]);
    if (tags.dataset.shown !== names) {
      tags.dataset.shown = names;
      tags.replaceChildren(...groups.map((group) => filled("li", "", link(group, address("connections", { hub: rest.hub, group })))));
      if (rest.groupCount > groups.length) tags.append(element("li", "fine", `and ${number(rest.groupCount - groups.length)} more`));
    }
    claims.show(said ?? []);
    byId("connection-send").href = address("send", { hub: rest.hub, to: "connection", name: rest.id });
  }

  setInterval(() => {
    if (shown && ended.hidden && !document.hidden && document.body.dataset.state === "connected") void load();
  }, REFRESH);

  return ({ view, params }) => {
    const id = view === "connections" ? params.get("connection") : null;
    if (!id) {
      shown = undefined;
      if (dialog.open) dialog.close();
      return;
    }
    const hub = params.get("of") ?? "";
    if (shown?.id === id && shown.hub === hub) return;
    shown = { hub, id };
    form.reset();
    ended.hidden = true;
    say(byId("connection-error"), "");
    pairs(byId("connection-facts"), [["Id", idPart], ["Hub", hub]]);
    say(idCode, id);
    byId("connection-groups").replaceChildren();
    delete byId("connection-groups").dataset.shown;
    claims.show([]);
    if (!dialog.open) dialog.showModal();
    byId("connection-title").focus();
    if (document.body.dataset.state === "connected") void load();
  };
}
