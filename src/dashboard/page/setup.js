// What others need to connect: connection strings, applications, settings and snippets.
import { copyable } from "./copy.js";
import { byId, element, filled } from "./dom.js";
import { secretsOf } from "./format.js";
import { caption, Table, text } from "./table.js";

let shown;

const panel = (title, ...parts) => filled("section", "card panel", element("h2", "", title), ...parts);

function table(title, columns, items, key) {
  const place = element("div", "");
  new Table(place, caption(title), columns, key).show(items);
  return panel(title, place);
}

/** Shows what the service says of itself; what has been shown already stays as it is. */
export function showSetup(info) {
  const { connectionStrings = [], applications = [], identities = [], upstream = [], settings = [], snippets = [], note } = info;
  const all = JSON.stringify([connectionStrings, applications, identities, upstream, settings, snippets, note]);
  if (all === shown) return;
  shown = all;
  const secrets = secretsOf(info);
  byId("setup-secrets").hidden = secrets.length === 0;
  const roles = text("Roles", (item) => (item.roles ?? []).join(", ") || "–");
  const parts = [];
  if (note) parts.push(element("p", "notice-bar", note));
  if (connectionStrings.length > 0) {
    parts.push(panel("Connection strings", ...connectionStrings.map(({ name, value }) => copyable(name, value, secrets))));
  }
  if (snippets.length > 0) {
    parts.push(panel("Snippets", ...snippets.map(({ title, language, text }) => copyable(title, text, secrets, { note: language }))));
  }
  if (settings.length > 0) {
    parts.push(panel("Settings", ...settings.map(({ name, value }) => copyable(name, String(value), secrets))));
  }
  if (applications.length > 0) {
    const columns = [text("Client", ({ clientId }) => clientId, "mono"), text("Tenant", ({ tenant }) => tenant, "mono"), roles];
    parts.push(table("Entra applications", columns, applications, ({ tenant, clientId }) => `${tenant}/${clientId}`));
  }
  if (identities.length > 0) {
    const columns = [text("Client", ({ clientId }) => clientId ?? "system assigned", "mono"), roles];
    parts.push(table("Managed identities", columns, identities, ({ clientId }) => clientId));
  }
  if (upstream.length > 0) {
    const said = (value) => (Array.isArray(value) ? value.join(", ") : value) || "all";
    const columns = [
      text("Address", ({ url }) => url, "mono"),
      text("Hubs", ({ hubs }) => said(hubs)),
      text("Categories", ({ categories }) => said(categories)),
      text("Events", ({ events }) => said(events)),
    ];
    parts.push(table("Upstream", columns, upstream, (item) => JSON.stringify(item)));
  }
  if (parts.length === 0) {
    parts.push(panel("Nothing to set up", element("p", "", "Clients connect to the hubs of this server by their own addresses.")));
  }
  byId("setup").replaceChildren(...parts);
}
