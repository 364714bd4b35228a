// Users and groups: two lists of the same form.
import { address } from "./route.js";
import { number } from "./format.js";
import { call } from "./hub.js";
import { connectionsOf, List } from "./list.js";
import { linked, text } from "./table.js";

const list = (view, title, kind) =>
  new List(view, title, {
    filters: ["search"],
    key: ({ hub, name }) => `${hub}/${name}`,
    ask: (filter) => call(title, filter),
    columns: [
      linked(title.slice(0, -1), ({ name }) => name, ({ hub, name }) => connectionsOf(hub, kind, name)),
      text("Hub", ({ hub }) => hub),
      text("Connections", ({ connections }) => number(connections), "figure"),
      linked("Send", () => `Send to this ${kind}`, ({ hub, name }) => address("send", { hub, to: kind, name }), "act"),
    ],
  });

export const users = () => list("users", "Users", "user");
export const groups = () => list("groups", "Groups", "group");
