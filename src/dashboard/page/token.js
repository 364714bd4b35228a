// A token, and what the service makes of it.
import { byId, element, pairs, say } from "./dom.js";
import { clock, duration, number } from "./format.js";
import { call, reason } from "./hub.js";
import { caption, Table, text } from "./table.js";

const SIGNATURES = { valid: "valid", wrongKey: "made with another key", unknown: "cannot be checked here" };

/** The token in what people copy: a header, a query, a JSON text in quotes. */
export function bare(pasted) {
  return pasted
    .trim()
    .replace(/^authorization:\s*/i, "")
    .replace(/^bearer\s+/i, "")
    .replace(/^.*?[?&]?access_token=([^&\s]+).*$/s, "$1")
    .replace(/^"|"$/g, "")
    .replace(/\s+/g, "");
}

function ends(at) {
  if (at === undefined || at === null) return "never";
  const left = at - Date.now();
  return left > 0 ? `${clock(at)}, in ${duration(left)}` : `${clock(at)}, ${duration(-left)} ago`;
}

export function tokenView() {
  const form = byId("token");
  const field = byId("token-text");
  const result = byId("token-result");
  const says = byId("token-says");
  let asked = 0;
  const claims = new Table(
    byId("token-claims"),
    caption("Claims", true),
    [text("Claim", ({ name }) => name, "mono"), text("Value", ({ value }) => value), text("Meaning", ({ meaning }) => meaning ?? "–")],
    ({ name, value }) => `${name}=${value}`,
  );

  const clear = () => {
    asked += 1;
    result.hidden = true;
    say(byId("token-error"), "");
    say(says, "");
  };

  async function read() {
    clear();
    const turn = asked;
    const token = bare(field.value);
    if (!token) return;
    try {
      const answer = await call("ReadToken", token);
      if (turn === asked) show(answer);
    } catch (error) {
      if (turn === asked) say(byId("token-error"), reason(error));
    }
  }

  function show({ header, claims: said, problems, signature, ...rest }) {
    const signed = SIGNATURES[signature] ?? signature;
    pairs(byId("token-facts"), [
      ["Audience", rest.audience],
      ["Hub", rest.hub],
      ["User", rest.user],
      ["Issued", rest.issuedAt && clock(rest.issuedAt)],
      ["Ends", ends(rest.expiresAt)],
      ["Signature", signed],
      ["Header", typeof header === "string" ? header : JSON.stringify(header)],
      ["Size", `${number(rest.bytes)} bytes`],
    ]);
    byId("token-problems").hidden = problems.length === 0;
    byId("token-problems").querySelector("ul").replaceChildren(...problems.map((problem) => element("li", "", problem)));
    claims.show(said);
    result.hidden = false;
    const fine = signature === "valid" ? "The service takes it." : "No problem was found.";
    say(says, problems.length === 0 ? fine : `${problems.length === 1 ? "One problem" : `${problems.length} problems`}.`);
  }

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    void read();
  });
  form.addEventListener("reset", () => {
    clear();
    field.focus();
  });
  // After the browser has put it in.
  field.addEventListener("paste", () => setTimeout(read));
}
