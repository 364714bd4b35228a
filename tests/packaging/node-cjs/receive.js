const hubwire = require("hubwire");

async function main(url) {
  const { HubConnectionBuilder, HubwireError, LogLevel } = hubwire;
  const connection = new HubConnectionBuilder().withUrl(url).configureLogging(LogLevel.None).build();
  const message = new Promise((resolve) => connection.on("Clock", resolve));
  await connection.start();
  console.log(`received ${await message}`);
  await connection.stop();
  // Whoever imports it in the same program has the same classes, and the same module.
  const imported = await import("hubwire");
  const slim = await import("hubwire/slim");
  console.log(imported.HubConnectionBuilder === HubConnectionBuilder, slim.HubwireError === HubwireError);
}

main(process.argv[2]);
