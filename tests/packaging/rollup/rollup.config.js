import resolve from "@rollup/plugin-node-resolve";

// Rollup itself knows nothing of packages; this is how it finds any of them.
export default {
  input: "main.js",
  output: { dir: "dist", format: "es" },
  plugins: [resolve({ browser: true })],
};
