import webpack from "webpack";

webpack({ mode: "production", entry: "./main.js", context: import.meta.dirname }, (error, stats) => {
  if (error || stats.hasErrors() || stats.hasWarnings()) {
    console.error(error ?? stats.toString());
    process.exitCode = 1;
  }
});
