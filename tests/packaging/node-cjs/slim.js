const { readFileSync } = require("node:fs");
const { HubConnectionBuilder, initialize } = require("hubwire/slim");

async function main(url) {
  const early = await new HubConnectionBuilder().withUrl(url).build().start().catch((error) => error.code);
  await initialize(readFileSync(require.resolve("hubwire/hubwire.wasm")));
  const connection = new HubConnectionBuilder().withUrl(url).configureLogging("none").build();
  const message = new Promise((resolve) => connection.on("Clock", resolve));
  await connection.start();
  console.log(`${early}, then received ${await message}`);
  await connection.stop();
}

main(process.argv[2]);
