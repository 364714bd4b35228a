import * as hubwire from "./node_modules/hubwire/src/eager.js";
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
