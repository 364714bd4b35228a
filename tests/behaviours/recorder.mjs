// Stands between a client and the reference hub, hands everything on and keeps what the client said. Under
// `/run/KEY/…` is the hub once more; `/recorded/KEY` tells what was heard there.
import { once } from "node:events";
import { createServer, request as ask } from "node:http";
import { WebSocket, WebSocketServer } from "ws";

const MAX = 10_000;

/** Starts it in front of a hub and gives its URL. It ends with the process. */
export async function record(hub) {
  const runs = new Map();
  const at = (key) => {
    if (!runs.has(key)) runs.set(key, { requests: [], sockets: [], rules: [], open: new Set() });
    return runs.get(key);
  };
  const server = createServer(async (request, response) => {
    try {
      await answer(request, response);
    } catch (error) {
      if (!response.headersSent) response.writeHead(502);
      response.end(String(error));
    }
  });

  async function answer(request, response) {
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    const body = Buffer.concat(chunks);
    const [, what, key, path] = request.url.match(/^\/(run|recorded|rules|cut)\/([^/?]+)(\S*)$/) ?? [, "", "", request.url];
    const run = at(key);
    if (what === "recorded") {
      const { requests, sockets } = run;
      return response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify({ requests, sockets }));
    }
    if (what === "rules") {
      run.rules.push(...JSON.parse(body));
      return response.end();
    }
    if (what === "cut") {
      for (const end of run.open) end();
      return response.end();
    }
    const { method, headers } = request;
    run.requests.push({ method, path, headers, body: body.toString() });
    const rule = run.rules.findIndex((rule) => rule.method === method && new RegExp(rule.path).test(path) && !(rule.skip-- > 0));
    if (rule >= 0) {
      const [{ status = 200, answer }] = run.rules.splice(rule, 1);
      return response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(answer));
    }
    const onward = ask(hub + path, { method, headers: { ...headers, host: headers.host } });
    onward.on("error", () => response.destroy());
    response.on("close", () => onward.destroy());
    const cut = () => response.destroy();
    run.open.add(cut);
    response.on("close", () => run.open.delete(cut));
    onward.end(body);
    const [answered] = await once(onward, "response");
    if (!/\/negotiate(\?|$)/.test(path)) {
      response.writeHead(answered.statusCode, answered.headers).flushHeaders();
      return answered.pipe(response);
    }
    // What redirects to the same hub stays under the same key.
    const text = Buffer.concat(await answered.toArray()).toString();
    const own = `http://${headers.host}`;
    const { "content-length": _, "transfer-encoding": __, ...rest } = answered.headers;
    response.writeHead(answered.statusCode, rest).end(key ? text.replace(`"url":"${own}/`, `"url":"${own}/run/${key}/`) : text);
  }

  const sockets = new WebSocketServer({ noServer: true });
  server.on("upgrade", (request, socket, head) => {
    const [, key = "", path = request.url] = request.url.match(/^\/run\/([^/?]+)(\S*)$/) ?? [];
    const run = at(key);
    const { authorization, cookie } = request.headers;
    const onward = new WebSocket(hub.replace("http", "ws") + path, {
      headers: { ...(authorization && { authorization }), ...(cookie && { cookie }) },
    });
    onward.on("unexpected-response", (_, { statusCode }) => socket.end(`HTTP/1.1 ${statusCode} no\r\ncontent-length: 0\r\n\r\n`));
    onward.on("error", () => socket.destroy());
    onward.on("open", () => sockets.handleUpgrade(request, socket, head, (client) => {
      const said = { path, headers: request.headers, frames: [], code: null };
      run.sockets.push(said);
      const cut = () => {
        client.terminate();
        onward.terminate();
      };
      run.open.add(cut);
      client.on("message", (data, binary) => {
        if (said.frames.length < MAX) said.frames.push(binary ? { base64: data.toString("base64") } : data.toString());
        onward.send(data, { binary });
      });
      onward.on("message", (data, binary) => client.send(data, { binary }));
      client.on("close", (code) => {
        run.open.delete(cut);
        said.code = code;
        onward.close();
      });
      onward.on("close", (code) => {
        if (code === 1006) client.terminate();
        else client.close(code === 1005 ? undefined : code);
      });
      client.on("error", () => {});
    }));
  });

  server.listen(0, "127.0.0.1").unref();
  await once(server, "listening");
  return `http://127.0.0.1:${server.address().port}`;
}
