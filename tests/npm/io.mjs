// What the npm package sends and receives: its HTTP client, its cookies in Node.js and its transports, against small servers
// of the test, and against a reference hub where HUBWIRE_TEST_HUB_URL names one. Argument: the package's folder.
import { run } from "../harness.mjs";

for (const part of ["http", "web_socket", "events", "polls", "faults", "hub", "ends"]) await import(`./io/${part}.mjs`);

await run();
