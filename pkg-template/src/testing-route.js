// Has the connections of a page in another process go to a mock hub, by Playwright's routes.
import { isOfHub, respond } from "./testing-http.js";
import { requestOf } from "./testing-core.js";
import { matcher } from "./testing-install.js";
import { attach, received, refuseSession } from "./testing-socket.js";

/** `page` is a page or a browser context of Playwright. */
export async function route(core, page, url) {
  const matches = matcher(url);
  let isOn = true;
  const isHubs = (address) => isOn && matches(address) && isOfHub(core, address.href);
  const answer = async (httpRoute) => {
    const request = httpRoute.request();
    const headers = await request.allHeaders();
    const { status, headers: own, body } = await respond(core, {
      method: request.method(),
      url: request.url(),
      headers,
      content: request.postDataBuffer() ?? "",
    }).catch(() => ({ status: 0 }));
    // The page may be gone by the time a poll ends.
    if (status === 0) return httpRoute.abort().catch(() => {});
    const cors = headers.origin && {
      "access-control-allow-origin": headers.origin,
      "access-control-allow-credentials": "true",
    };
    const content = typeof body === "string" ? body : Buffer.from(body);
    return httpRoute.fulfill({ status, headers: { ...cors, ...own }, body: content }).catch(() => {});
  };
  await page.routeWebSocket((address) => isOn && matches(address), (socket) => connect(core, socket));
  await page.route(isHubs, answer);
  return async () => {
    isOn = false;
    await page.unroute(isHubs, answer);
  };
}

function connect(core, socket) {
  const request = requestOf("WebSockets", socket.url());
  // A page sees the code only. A connection that was lost has this one, and no close frame can carry it.
  const drop = () => socket.close({ code: 1006 });
  if (core.refusal(request)) {
    refuseSession(core, request);
    return drop();
  }
  let isGone = false;
  const connection = attach(core, request, {
    send: async (frame) => {
      // As a network does, it takes what is for a page that is gone.
      if (!isGone) socket.send(typeof frame === "string" ? frame : Buffer.from(frame));
    },
    close: () => socket.close({ code: 1000 }),
    drop,
  });
  if (!connection) return drop();
  socket.onMessage((data) => connection.receive(received(data)));
  socket.onClose(() => {
    isGone = true;
    connection.lost();
  });
  return undefined;
}
