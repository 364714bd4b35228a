// Vitest.
import * as hubwire from "hubwire";
import { expect, test } from "vitest";
import common from "./receives.cjs";

test("receives", async () => expect(await common.receives(hubwire)).toMatch(common.TIME), 20_000);
