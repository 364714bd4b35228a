// The pages of the benchmarks in a browser: one for each client, and one with a socket alone.

/** A page has one client only, so that none pays for loading the others. */
export const SUBJECTS = {
  official: `import * as client from "@microsoft/signalr";
    import { MessagePackHubProtocol } from "@microsoft/signalr-protocol-msgpack";
    const how = (builder) => builder;`,
  hubwire: `import * as client from "hubwire"; const { MessagePackHubProtocol } = client;
    const how = (builder) => builder;`,
  worker: `import * as client from "hubwire"; const { MessagePackHubProtocol } = client;
    const how = (builder) => builder.withWorker();`,
};
export const PAGE = `
  function build(protocol = "json") {
    const builder = new client.HubConnectionBuilder().withUrl("/hub").configureLogging(client.LogLevel.None);
    if (protocol === "messagepack") builder.withHubProtocol(new MessagePackHubProtocol());
    return how(builder).build();
  }
  globalThis.connect = async (protocol) => {
    globalThis.connection = build(protocol);
    await connection.start();
  };
  globalThis.receive = async (payload, count, batch) => {
    let heard = 0;
    connection.off("Message");
    connection.on("Message", (user, text) => { heard += user.length + text.length > 0 ? 1 : 0; });
    const done = new Promise((resolve) => connection.on("Done", resolve));
    await connection.send("Burst", payload, count, batch);
    await done;
    connection.off("Done");
    if (heard !== count) throw new Error("heard " + heard);
  };
  globalThis.invoke = async (count, atOnce) => {
    let next = 0;
    const work = async () => {
      for (let n = next++; n < count; n = next++) {
        if ((await connection.invoke("Add", n, 1)) !== n + 1) throw new Error("wrong sum");
      }
    };
    await Promise.all(Array.from({ length: atOnce }, work));
  };
  globalThis.pieces = async (length, size, fragments) => {
    const done = new Promise((resolve, reject) => {
      connection.on("Done", resolve);
      connection.onclose((error) => reject(error ?? new Error("closed")));
    });
    const start = performance.now();
    await connection.send("Pieces", length, size, fragments);
    const text = await done;
    if (text.length !== length) throw new Error("heard " + text.length);
    return performance.now() - start;
  };
  globalThis.begin = async () => {
    const connection = build();
    const start = performance.now();
    await connection.start();
    const end = performance.now();
    await connection.stop();
    // What a visitor waits for: the page's scripts are loaded before, ours some of them later.
    return { took: end - start, sinceNavigation: end };
  };
  globalThis.ready = true;
`;
/** A socket without a client, as the floor of reassembly: it only puts the pieces together. */
export const RAW = `
  globalThis.connect = (protocol) => new Promise((resolve) => {
    globalThis.isBinary = protocol === "messagepack";
    globalThis.socket = new WebSocket("ws://" + location.host + "/hub");
    socket.binaryType = "arraybuffer";
    socket.onopen = () => socket.send(JSON.stringify({ protocol, version: 1 }) + "\\x1e");
    socket.onmessage = resolve;
  });
  globalThis.pieces = (length, call) => new Promise((resolve) => {
    const start = performance.now();
    const pieces = [];
    let heard = 0;
    socket.onmessage = ({ data }) => {
      const piece = typeof data === "string" ? data : new Uint8Array(data);
      pieces.push(piece);
      heard += piece.length;
      // A text is there when its record separator is: the message is a little longer than what it carries.
      if (typeof data === "string" ? !data.endsWith("\\x1e") : heard < length) return;
      if (typeof data === "string") {
        if (JSON.parse(pieces.join("").slice(0, -1)).arguments[0].length !== length) throw new Error("wrong");
      } else {
        const whole = new Uint8Array(heard);
        let at = 0;
        for (const piece of pieces) { whole.set(piece, at); at += piece.length; }
        // The text is all but its last bytes.
        if (new TextDecoder().decode(whole.subarray(heard - length)).length < length - 16) throw new Error("wrong");
      }
      resolve(performance.now() - start);
    };
    socket.send(globalThis.isBinary ? Uint8Array.from(call) : String.fromCharCode(...call));
  });
  globalThis.ready = true;
`;

/** What the endurance tests have, in a page and in Node.js: `open(path, protocol)` builds a connection that reconnects. */
export const ENDURANCE = `
  const wait = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));
  globalThis.open = (path, protocol, change = (builder) => builder) => {
    const builder = new client.HubConnectionBuilder().withUrl(path).configureLogging(client.LogLevel.None);
    if (protocol === "messagepack") builder.withHubProtocol(new MessagePackHubProtocol());
    return change(how(builder)).build();
  };
  globalThis.cycles = async (path, count) => {
    for (let n = 0; n < count; n++) {
      const connection = globalThis.open(path);
      connection.on("Message", () => {});
      connection.onclose(() => {});
      await connection.start();
      if ((await connection.invoke("Add", n, 1)) !== n + 1) throw new Error("wrong sum");
      await connection.stop();
    }
  };
  globalThis.numbers = async (path, protocol, count) => {
    const connection = globalThis.open(path, protocol);
    let next = 0;
    let wrong = 0;
    connection.on("Said", (n) => {
      if (n !== next) wrong++;
      next = n + 1;
    });
    await connection.start();
    await connection.invoke("Numbers", count);
    await connection.stop();
    return { heard: next, wrong };
  };
  globalThis.big = async (path, protocol, length) => {
    const connection = globalThis.open(path, protocol);
    await connection.start();
    const text = "0123456789abcdef".repeat(length / 16);
    const same = [(await connection.invoke("Echo", text)) === text];
    if (protocol === "messagepack") {
      const bytes = new Uint8Array(length);
      for (let n = 0; n < length; n++) bytes[n] = n * 31;
      const back = await connection.invoke("Echo", bytes);
      same.push(back.length === length && bytes.every((byte, n) => back[n] === byte));
    }
    await connection.stop();
    return same.every(Boolean);
  };
  globalThis.ready = true;
`;
