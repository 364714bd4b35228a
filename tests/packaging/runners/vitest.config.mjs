// One project for each environment.
import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    projects: ["node", "jsdom", "happy-dom"].map((environment) => ({
      test: { name: environment, environment, include: ["vitest.test.mjs"] },
    })),
  },
});
