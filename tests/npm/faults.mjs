// What the npm package's connection does when something goes wrong: in the server, on the way, and in what the application
// gives it. Argument: the package's folder.
import { run, test } from "../harness.mjs";

for (const part of ["callbacks", "stop", "sends", "streams", "logs", "tokens", "jsdom"]) await import(`./faults/${part}.mjs`);

const { clean } = await import("./faults/hub.mjs");
test("no rejection and no exception was left unhandled", async () => clean());

await run();
