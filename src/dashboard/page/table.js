// A table whose rows follow a list: a row that stays is the same element, so that focus and selection stay as well.
import { element, filled, say } from "./dom.js";

/** A column that is a text. */
export const text = (title, value, className = "") => ({
  title,
  className,
  fill: (cell, item) => say(cell, value(item)),
});

/** A column that is a link; without an address it is a text. */
export const linked = (title, value, address, className = "") => ({
  title,
  className,
  fill(cell, item) {
    const href = address(item);
    if (href === undefined) return say(cell, value(item));
    const anchor = cell.querySelector("a") ?? element("a");
    if (anchor.parentElement !== cell) cell.replaceChildren(anchor);
    if (anchor.getAttribute("href") !== href) anchor.setAttribute("href", href);
    say(anchor, value(item));
  },
});

// Where a narrow window makes cards of the rows, some browsers would no longer take them for those of a table.
const withRole = (name, role) => {
  const made = element(name);
  made.setAttribute("role", role);
  return made;
};

export class Table {
  #body = withRole("tbody", "rowgroup");
  #rows = new Map();
  #columns;
  #key;

  /** The first column is the heading of a row; `key` names an item for as long as it lasts. */
  constructor(place, caption, columns, key) {
    this.#columns = columns;
    this.#key = key;
    const head = withRole("tr", "row");
    for (const { title, className } of columns) {
      const cell = withRole("th", "columnheader");
      cell.scope = "col";
      cell.className = className;
      cell.textContent = title;
      head.append(cell);
    }
    const thead = withRole("thead", "rowgroup");
    thead.append(head);
    const table = withRole("table", "table");
    table.append(caption, thead, this.#body);
    place.append(table);
    this.element = table;
  }

  show(items) {
    const keys = new Set(items.map(this.#key));
    for (const [key, row] of this.#rows) {
      if (keys.has(key)) continue;
      row.remove();
      this.#rows.delete(key);
    }
    let next = this.#body.firstElementChild;
    for (const item of items) {
      const key = this.#key(item);
      const row = this.#rows.get(key) ?? this.#row(key);
      if (row === next) next = next.nextElementSibling;
      else this.#body.insertBefore(row, next);
      this.#columns.forEach(({ fill }, index) => fill(row.children[index], item, row));
    }
    this.element.hidden = items.length === 0;
  }

  #row(key) {
    const row = withRole("tr", "row");
    this.#columns.forEach(({ title, className }, index) => {
      const cell = withRole(index === 0 ? "th" : "td", index === 0 ? "rowheader" : "cell");
      if (index === 0) cell.scope = "row";
      cell.className = className;
      cell.dataset.title = title;
      row.append(cell);
    });
    this.#rows.set(key, row);
    return row;
  }
}

/** A caption, out of sight where a title above says the same. */
export const caption = (title, seen = false) => filled("caption", seen ? "" : "hidden", title);
