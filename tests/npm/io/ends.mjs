// A process of Node.js lives as long as its connection, and ends by itself after that, on a real hub.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { test } from "../../harness.mjs";
import { folder } from "./servers.mjs";

const base = process.env.HUBWIRE_TEST_HUB_URL;
const entry = new URL("src/index.js", folder);

/** What a process prints that runs this with a `builder`; it ends with the line `idle` when nothing is left to be done. */
async function printed(path, body) {
  const script = `
    import { HubConnectionBuilder } from ${JSON.stringify(entry)};
    import Ws from "ws";
    process.once("beforeExit", () => console.log("idle"));
    const option = globalThis.WebSocket ? {} : { WebSocket: Ws };
    const builder = new HubConnectionBuilder().withUrl(${JSON.stringify(base + path)}, option).configureLogging("none");
    ${body}`;
  const options = { cwd: new URL("../../..", import.meta.url), timeout: 25_000 };
  const { stdout } = await promisify(execFile)(process.execPath, ["--input-type=module", "-e", script], options);
  return stdout.trim().split("\n");
}

if (base) {
  for (const path of ["/ws", "/sse", "/lp"]) {
    test(`process: over ${path} it lives while connected, and ends after stop`, async () => {
      // The message comes when nothing else is left that would keep the process.
      const lines = await printed(path, `
        const connection = builder.build();
        let sent;
        connection.on("Pushed", async () => {
          // A poll's answer may overtake that of the request which brought it about.
          await sent;
          console.log("pushed");
          await connection.stop();
          console.log("stopped");
        });
        await connection.start();
        sent = connection.send("Push", "Pushed", []).then(() => console.log("sent"));
        await sent;`);
      assert.deepEqual(lines, ["sent", "pushed", "stopped", "idle"]);
    });
  }

  test("process: it ends after a stop in the midst of a start, and of a reconnect", async () => {
    const lines = await printed("/hub", `
      const first = builder.build();
      const starting = first.start().catch(() => console.log("not started"));
      await first.stop();
      await starting;
      const second = builder.withAutomaticReconnect([100_000]).build();
      const lost = new Promise((resolve) => second.onreconnecting(resolve));
      await second.start();
      await second.send("Drop");
      await lost;
      await second.stop();
      console.log("stopped");`);
    assert.deepEqual(lines, ["not started", "stopped", "idle"]);
  });

  test("process: it ends after a start that has failed", async () => {
    const lines = await printed("/fault/status/403", `await builder.build().start().catch(({ statusCode }) => console.log(statusCode));`);
    assert.deepEqual(lines, ["403", "idle"]);
  });
}
