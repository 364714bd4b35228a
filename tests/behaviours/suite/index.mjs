// All behaviours, for a bundle or for Node.js.
import "./negotiate.mjs";
import "./calls.mjs";
import "./life.mjs";

export { behaviours, observeAll } from "./support.mjs";
