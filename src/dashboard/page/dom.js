// Elements, made and filled. Everything that comes from the service goes in as text.
import { byId, element } from "../look/elements.js";

export { byId, element };

/** Sets a text, unless it is there already: what does not change keeps its selection. */
export function say(part, text) {
  const wanted = String(text ?? "");
  if (part.textContent !== wanted) part.textContent = wanted;
}

/** An element with others in it. */
export function filled(name, className, ...parts) {
  const made = element(name, className);
  made.append(...parts);
  return made;
}

export function link(text, href, className = "") {
  const made = element("a", className, text);
  made.href = href;
  return made;
}

export function button(text, className, action) {
  const made = element("button", `button small ${className}`.trim(), text);
  made.type = "button";
  made.addEventListener("click", action);
  return made;
}

/** Makes the pairs of a list of terms those of `[term, text or element]`; what has no value is left out. */
export function pairs(list, entries) {
  const wanted = entries.filter(([, value]) => value !== undefined && value !== null && value !== "");
  while (list.children.length > wanted.length) list.lastElementChild.remove();
  wanted.forEach(([term, value], index) => {
    const pair = list.children[index] ?? list.appendChild(filled("div", "", element("dt"), element("dd")));
    say(pair.firstElementChild, term);
    const said = pair.lastElementChild;
    if (value instanceof Node) {
      if (said.firstChild !== value) said.replaceChildren(value);
    } else {
      say(said, value);
    }
  });
}

/** A label with a field in it. */
export function labelled(text, field, className = "") {
  return filled("label", className, `${text} `, field);
}

/** Makes the options of a choice `[value, text]`; what is chosen stays chosen, if only by the address. */
export function options(select, entries, chosen = select.value) {
  const wanted = entries.some(([value]) => value === chosen) ? entries : [...entries, [chosen, chosen]];
  const shown = JSON.stringify(wanted);
  if (select.dataset.shown !== shown) {
    select.dataset.shown = shown;
    select.replaceChildren(
      ...wanted.map(([value, text]) => {
        const option = element("option", "", text);
        option.value = value;
        return option;
      }),
    );
  }
  if (select.value !== chosen) select.value = chosen;
}

/** Calls an action once the calls have ceased for a while. */
export function settled(milliseconds, action) {
  let timer;
  return () => {
    clearTimeout(timer);
    timer = setTimeout(action, milliseconds);
  };
}
