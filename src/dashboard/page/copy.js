// Texts to copy, whose secrets are dots until they are asked for.
import { button, element, filled, say } from "./dom.js";
import { masked } from "./format.js";

const SHOWN = 2000;

/** A button that copies a text, or selects a part of the page where the browser does not let pages copy. */
export function copyButton(label, text, instead) {
  const made = button("Copy", "", async () => {
    let done = "Copied";
    try {
      await navigator.clipboard.writeText(text());
    } catch {
      const part = instead?.();
      if (part) getSelection().selectAllChildren(part);
      done = part ? "Selected" : "Not allowed";
    }
    say(made, done);
    setTimeout(() => say(made, "Copy"), SHOWN);
  });
  made.ariaLabel = label;
  made.classList.add("copy");
  return made;
}

/** A text in a block with its buttons; a text with secrets has one that shows them. */
export function copyable(title, text, secrets, { level = "h3", note } = {}) {
  const hidden = masked(text, secrets);
  const code = element("code", "", hidden);
  const block = filled("pre", "", code);
  block.tabIndex = 0;
  block.role = "region";
  block.ariaLabel = title;
  const show = (isShown) => {
    code.textContent = isShown ? text : hidden;
    if (!reveal) return;
    reveal.ariaPressed = String(isShown);
  };
  const copy = copyButton(`Copy: ${title}`, () => text, () => {
    show(true);
    return code;
  });
  const reveal = hidden === text ? undefined : button("Show", "", () => show(reveal.ariaPressed !== "true"));
  if (reveal) {
    reveal.ariaPressed = "false";
    reveal.ariaLabel = `Show the keys: ${title}`;
  }
  const head = filled("div", "copy-head", element(level, "", title), ...(note ? [element("span", "fine", note)] : []), ...(reveal ? [reveal] : []), copy);
  return filled("div", "copyable", head, block);
}
