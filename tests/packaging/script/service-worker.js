// A classic service worker, which loads the script.
importScripts("node_modules/hubwire/dist/browser/signalr.js");

async function receive(hub) {
  const connection = new signalR.HubConnectionBuilder().withUrl(hub).configureLogging(signalR.LogLevel.None).build();
  const message = new Promise((resolve) => connection.on("Clock", resolve));
  await connection.start();
  const time = await message;
  await connection.stop();
  return `received ${time}`;
}

addEventListener("message", (event) => {
  const [port] = event.ports;
  // Keeps the worker alive meanwhile.
  event.waitUntil(
    receive(event.data).then(
      (text) => port.postMessage(text),
      (error) => port.postMessage(`failed: ${error}`),
    ),
  );
});
