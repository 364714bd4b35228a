// A service worker that a bundler puts into one file.
import * as hubwire from "hubwire";
import { receive } from "./receive.js";

addEventListener("message", (event) => {
  const [port] = event.ports;
  // Keeps the worker alive meanwhile.
  event.waitUntil(
    receive(hubwire, event.data).then(
      (text) => port.postMessage(text),
      (error) => port.postMessage(`failed: ${error}`),
    ),
  );
});
