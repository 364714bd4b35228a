// What the page shows, kept behind the # of its URL: "#connections?hub=chat&user=ann".

export const VIEWS = ["overview", "connections", "users", "groups", "requests", "send", "token", "setup"];

/** The view and its parameters. */
export function current() {
  const [name, query = ""] = location.hash.slice(1).split("?", 2);
  return { view: VIEWS.includes(name) ? name : VIEWS[0], params: new URLSearchParams(query) };
}

/** The address of a view; parameters without a value are left out. */
export function address(view, params = {}) {
  const given = Object.entries(params).filter(([, value]) => value !== undefined && value !== "" && value !== 0);
  const query = new URLSearchParams(given.map(([name, value]) => [name, String(value)])).toString();
  return `#${view}${query && `?${query}`}`;
}

/** Puts other parameters into the address, without a step of history for each letter of a search. */
export function replace(view, params) {
  history.replaceState(undefined, "", address(view, params));
  dispatchEvent(new HashChangeEvent("hashchange"));
}
