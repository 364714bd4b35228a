// Everything that the demo's page shows, tried in Chromium. Argument: a folder for screenshots.
// HUBWIRE_DEMO_URL: the running demo. HUBWIRE_CHROMIUM: the browser.
import { run } from "../../tests/harness.mjs";

if (!process.argv[2]) throw new Error("usage: HUBWIRE_DEMO_URL=… HUBWIRE_CHROMIUM=… run.mjs OUTDIR");
// In this order they are run.
await import("./room.mjs");
await import("./trouble.mjs");
await import("./compare.mjs");
await import("./access.mjs");
await import("./looks.mjs");
await run();
