// The mock hub of the npm package, and clients that talk to it. Argument: the package's folder.
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import * as official from "@microsoft/signalr";
import { MessagePackHubProtocol as OfficialMessagePack } from "@microsoft/signalr-protocol-msgpack";
import { run } from "../harness.mjs";
import { officialClient, thisClient } from "./testing_clients.mjs";
import { playwrightTests } from "./testing_page.mjs";
import { readmeTest } from "./testing_readme.mjs";
import { installTests, passingTests, timerTests } from "./testing_realms.mjs";
import { clientTests } from "./testing_suite.mjs";

const folder = pathToFileURL(`${resolve(process.argv[2])}/`);
const load = (file) => import(new URL(file, folder));

const { MockHub } = await load("src/testing.js");
const commonJs = await load("cjs/testing.mjs");
const own = await load("src/index.js");

const theirs = officialClient(official, OfficialMessagePack);
const ours = thisClient(own);

for (const client of [theirs, ours]) {
  clientTests(MockHub, client);
  timerTests(MockHub, client);
  installTests(MockHub, client);
}
passingTests(MockHub);
readmeTest(folder, { hubwire: own, "hubwire/testing": commonJs });
playwrightTests(MockHub, folder, ["official", "own"]);
await run();
