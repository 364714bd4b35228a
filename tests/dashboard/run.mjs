// The dashboard's page in Chromium, on a service that is made up. HUBWIRE_CHROMIUM: the browser.
// With HUBWIRE_DASHBOARD_PROGRAM, the program `hubwire`, also on a local service that is real.
import { run } from "../harness.mjs";

await import("./lists.mjs");
await import("./forms.mjs");
await import("./trouble.mjs");
await import("./looks.mjs");
if (process.env.HUBWIRE_DASHBOARD_PROGRAM) await import("./real.mjs");
await run({ atOnce: 3 });
