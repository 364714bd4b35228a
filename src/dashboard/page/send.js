// The form that sends to anyone.
import { byId, element, say } from "./dom.js";
import { plural } from "./format.js";
import { call, reason } from "./hub.js";

const MOST = 64 * 1024;
const NAMES = { user: "User", group: "Group", connection: "Connection id" };

/** A list of arguments, or what is wrong with the text. */
export function readArguments(text) {
  let value;
  let cut;
  try {
    value = JSON.parse(text.trim() || "[]", (_, item, context) => {
      if (Number.isInteger(item) && !Number.isSafeInteger(item) && /^-?\d+$/.test(context?.source ?? item)) cut = context?.source ?? item;
      return item;
    });
  } catch (error) {
    return { problem: `This is not JSON: ${error.message}` };
  }
  if (!Array.isArray(value)) return { problem: `The arguments are a list: put them in brackets, as in [${text.trim().slice(0, 40)}].` };
  if (cut !== undefined) return { problem: `${cut} has more digits than a number has in JavaScript: send it as a text.` };
  if (new TextEncoder().encode(text).length > MOST) return { problem: "The arguments are larger than 64 KiB." };
  return { value };
}

export function sendView(info) {
  const form = byId("send");
  const { hub, name, target } = form.elements;
  const args = form.elements.arguments;
  const to = () => form.elements.to.value;

  const complain = (field, problem) => {
    say(byId(`${field.id}-error`), problem ?? "");
    field.ariaInvalid = problem ? "true" : "false";
    return problem ? field : undefined;
  };
  const missing = (field, what) => complain(field, field.value.trim() ? "" : what);
  const checks = [
    () => missing(hub, "A hub is missing."),
    () => (to() === "all" ? complain(name) : missing(name, `The ${NAMES[to()].toLowerCase()} is missing.`)),
    () => missing(target, "The method is missing."),
    () => complain(args, readArguments(args.value).problem),
  ];

  function showTo() {
    byId("send-name-field").hidden = to() === "all";
    if (to() !== "all") say(byId("send-name-label"), NAMES[to()]);
    complain(name);
  }
  form.addEventListener("change", ({ target: field }) => {
    if (field.name === "to") showTo();
  });
  // A complaint goes away with its cause. It comes when something is to be sent: while a field is left, it would move the
  // button from below the pointer.
  form.addEventListener("input", ({ target: field }) => {
    if (field.ariaInvalid !== "true") return;
    if (field !== args || !readArguments(args.value).problem) complain(field);
  });
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    say(byId("send-error"), "");
    say(byId("send-says"), "");
    const wrong = checks.map((check) => check()).find(Boolean);
    if (wrong) return wrong.focus();
    const everyone = to() === "all";
    const message = { hub: hub.value.trim(), to: to(), target: target.value.trim(), arguments: readArguments(args.value).value };
    try {
      const { connections } = await call("Send", everyone ? message : { ...message, name: name.value });
      const at = new Date().toLocaleTimeString("en-GB");
      say(byId("send-says"), `Sent to ${plural(connections, "connection")} at ${at}.`);
    } catch (error) {
      say(byId("send-error"), reason(error));
    }
  });

  return {
    open(params) {
      if (params.has("hub")) hub.value = params.get("hub");
      if (params.has("to")) {
        const choice = [...form.elements.to].find(({ value }) => value === params.get("to"));
        if (choice) choice.checked = true;
        name.value = params.get("name") ?? "";
      }
      showTo();
    },
    setHubs(names) {
      byId("send-hubs").replaceChildren(
        ...names.map((name) => {
          const option = element("option");
          option.value = name;
          return option;
        }),
      );
      if (!hub.value && names.length > 0 && document.activeElement !== hub) [hub.value] = names;
    },
    showInfo() {
      const { canSend, note } = info();
      const off = canSend === false;
      byId("send-off").hidden = !off;
      say(byId("send-off"), off ? `Sending from this page is switched off. ${note ?? ""}` : "");
      form.querySelector("button").disabled = off;
    },
  };
}
