// The built application in a server of one's own, on any free port.
import { createServer } from "node:http";
import { handler } from "./build/handler.js";

const server = createServer(handler).listen(0, "127.0.0.1", () => {
  console.log(`http://127.0.0.1:${server.address().port}/`);
});
