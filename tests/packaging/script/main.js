// A page without modules, as those that load the official package from a CDN.
async function receive(builder, hub) {
  const connection = builder.withUrl(hub).configureLogging(signalR.LogLevel.None).build();
  const message = new Promise((resolve) => connection.on("Clock", resolve));
  await connection.start();
  const time = await message;
  await connection.stop();
  return `received ${time}`;
}

const ways = {
  json: (hub) => receive(new signalR.HubConnectionBuilder(), hub),
  messagepack: (hub) =>
    receive(new signalR.HubConnectionBuilder().withHubProtocol(new signalR.protocols.msgpack.MessagePackHubProtocol()), hub),
  service: async (hub) => {
    await navigator.serviceWorker.register("service-worker.js");
    const { active } = await navigator.serviceWorker.ready;
    const { port1, port2 } = new MessageChannel();
    const answer = new Promise((resolve) => { port1.onmessage = ({ data }) => resolve(`${data} in a service worker`); });
    active.postMessage(hub, [port2]);
    return answer;
  },
};
const { way, hub } = Object.fromEntries(new URLSearchParams(location.search));
ways[way](hub).then(
  (text) => { document.title = text; },
  (error) => { document.title = `failed: ${error}`; },
);
