// One project for each environment; HUBWIRE_MODULES says whether the tests are CommonJS or ES modules.
const environments = ["node", "jsdom", "@happy-dom/jest-environment"];

module.exports = {
  projects: environments.map((testEnvironment) => ({
    displayName: testEnvironment,
    testEnvironment,
    testMatch: [`<rootDir>/jest-${process.env.HUBWIRE_MODULES}.test.*`],
    transform: {},
    moduleFileExtensions: ["js", "cjs", "mjs", "json"],
  })),
};
