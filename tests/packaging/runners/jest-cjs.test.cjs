// Jest, CommonJS.
const hubwire = require("hubwire");
const { receives, TIME } = require("./receives.cjs");

test("receives", async () => expect(await receives(hubwire)).toMatch(TIME), 20_000);
