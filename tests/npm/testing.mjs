// The mock hub of the npm package, and clients that talk to it. Argument: the package's folder.
import assert from "node:assert/strict";
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import * as official from "@microsoft/signalr";
import { MessagePackHubProtocol as OfficialMessagePack } from "@microsoft/signalr-protocol-msgpack";
import { run, test } from "../harness.mjs";
import { officialClient, thisClient } from "./testing_clients.mjs";
import { playwrightTests } from "./testing_page.mjs";
import { clientTests } from "./testing_suite.mjs";

const folder = pathToFileURL(`${resolve(process.argv[2])}/`);
const load = (file) => import(new URL(file, folder));

const { MockHub } = await load("src/testing.js");
const own = await load("src/index.js");

clientTests(MockHub, officialClient(official, OfficialMessagePack));
await run();
