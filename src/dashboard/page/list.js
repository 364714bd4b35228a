// A view of a long list: filters that stand in the address, and pages that the service cuts.
import { button, byId, element, filled, labelled, options, say, settled } from "./dom.js";
import { number } from "./format.js";
import { reason } from "./hub.js";
import { address, current, replace } from "./route.js";
import { caption, Table } from "./table.js";

export const PAGE = 50;
const TYPING = 250;
// How often a list that is looked at is asked for again: when something has changed, and for the counts in it.
const SOON = 1000;
const LATER = 5000;

export class List {
  #name;
  #ask;
  #fields;
  #table;
  #says = element("p", "fine list-says");
  #error = element("p", "error");
  // How many were found, for screen readers: when somebody has asked, and not whenever a client comes or goes.
  #found = element("p", "hidden");
  #pager = filled("nav", "pager");
  #turns;
  #asked = 0;
  #askedAt = 0;
  #isStale = false;
  #isWaiting = false;

  /** `filters` are names of parameters besides the hub; `ask` gets all of them, and the page, and gives `{ total, items }`. */
  constructor(name, title, { filters, columns, key, ask, empty }) {
    this.#name = name;
    this.#ask = ask;
    const heading = element("h1", "", title);
    heading.id = `title-${name}`;
    heading.tabIndex = -1;
    const hub = element("select");
    this.#fields = { hub };
    const form = filled("form", "filters", labelled("Hub", hub));
    form.ariaLabel = `Which ${name}`;
    form.autocomplete = "off";
    for (const filter of filters) {
      const field = element("input");
      field.type = "search";
      field.spellcheck = false;
      field.maxLength = filter === "search" ? 200 : 1024;
      this.#fields[filter] = field;
      form.append(labelled(filter[0].toUpperCase() + filter.slice(1), field, filter === "search" ? "wide" : ""));
    }
    for (const [parameter, field] of Object.entries(this.#fields)) field.name = parameter;
    // Who has gone on to another view meanwhile stays there.
    const change = () => current().view === name && replace(name, this.#values());
    form.addEventListener("input", settled(TYPING, change));
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      change();
    });

    const place = filled("div", "");
    this.#table = new Table(place, caption(title), columns, key);
    this.#error.role = "alert";
    this.#found.role = "status";
    this.empty = element("p", "empty", empty);
    this.#pager.ariaLabel = `Pages of ${name}`;
    this.#turns = [
      ["First", () => 0],
      ["Previous", (offset) => offset - PAGE],
      ["Next", (offset) => offset + PAGE],
      ["Last", (offset, total) => Math.floor((total - 1) / PAGE) * PAGE],
    ].map(([text, to]) => {
      const turn = button(text, "", () => {
        const { offset, total } = this.shown;
        const target = to(offset, total);
        if (!this.#isThere(target)) return;
        replace(this.#name, { ...this.#values(), offset: target });
      });
      this.#pager.append(turn);
      return { turn, to };
    });
    byId(`view-${name}`).append(heading, form, filled("div", "card list", this.#says, this.#found, this.#error, place, this.empty, this.#pager));
    // Not known yet.
    this.empty.hidden = true;
    this.#pager.hidden = true;
    this.#table.element.hidden = true;
    this.shown = { offset: 0, total: 0 };
    setInterval(() => this.#again(), SOON);
  }

  #values() {
    return Object.fromEntries(Object.entries(this.#fields).map(([name, field]) => [name, field.value]));
  }

  #isThere(offset) {
    return offset !== this.shown.offset && offset >= 0 && offset < this.shown.total;
  }

  #isOpen() {
    return current().view === this.#name && !document.hidden && document.body.dataset.state === "connected";
  }

  /** The address has changed. */
  open(params) {
    for (const [name, field] of Object.entries(this.#fields)) {
      const value = params.get(name) ?? "";
      if (name === "hub") options(field, this.hubs ?? [["", "All"]], value);
      else if (field.value !== value && field !== document.activeElement) field.value = value;
    }
    void this.load(true);
  }

  /** Which hubs there are. */
  setHubs(names) {
    this.hubs = [["", "All"], ...names.map((name) => [name, name])];
    options(this.#fields.hub, this.hubs);
  }

  /** Something has changed in the service. */
  stale() {
    this.#isStale = true;
  }

  #again() {
    const age = performance.now() - this.#askedAt;
    if (this.#isOpen() && !this.#isWaiting && (this.#isStale || age >= LATER)) void this.load();
  }

  async load(isAskedFor = false) {
    if (!this.#isOpen()) return;
    this.#asked += 1;
    const asked = this.#asked;
    this.#askedAt = performance.now();
    this.#isStale = false;
    this.#isWaiting = true;
    const { params } = current();
    const offset = Math.max(0, Number.parseInt(params.get("offset") ?? "0", 10) || 0);
    const filters = [...params].filter(([name, value]) => name in this.#fields && value);
    try {
      const { total, items } = await this.#ask({ ...Object.fromEntries(filters), offset, limit: PAGE });
      // An answer to an earlier question comes too late.
      if (asked !== this.#asked) return;
      if (items.length === 0 && offset > 0 && total > 0) {
        const last = Math.floor((total - 1) / PAGE) * PAGE;
        if (last < offset) return replace(this.#name, { ...Object.fromEntries(params), offset: last });
      }
      this.#show(total, items, offset, filters.length > 0);
      if (isAskedFor) say(this.#found, total > 0 ? this.#says.textContent : this.empty.textContent);
      say(this.#error, "");
    } catch (error) {
      if (asked === this.#asked && this.#isOpen()) say(this.#error, reason(error));
    } finally {
      if (asked === this.#asked) this.#isWaiting = false;
    }
  }

  #show(total, items, offset, isFiltered) {
    this.shown = { offset, total };
    const span = items.length < total ? `${number(offset + 1)}–${number(offset + items.length)} of ${number(total)}` : number(total);
    const kind = isFiltered ? " found" : items.length < total ? "" : " in all";
    say(this.#says, total === 0 ? "" : `${span}${kind}`);
    this.empty.hidden = total > 0;
    if (total === 0) say(this.empty, isFiltered ? `No ${this.#name} like that.` : `No ${this.#name} so far.`);
    this.#table.show(items);
    this.#pager.hidden = total <= PAGE && offset === 0;
    for (const { turn, to } of this.#turns) turn.ariaDisabled = String(!this.#isThere(to(offset, total)));
  }
}

/** The way to the connections of a user or group. */
export const connectionsOf = (hub, kind, name) => address("connections", { hub, [kind]: name });
