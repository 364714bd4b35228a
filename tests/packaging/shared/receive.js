/** Connects to a hub, by whichever entry of the package, and gives what it hears from there first. */
export async function receive({ HubConnectionBuilder }, url, how = (builder) => builder) {
  const connection = how(new HubConnectionBuilder().withUrl(url).configureLogging("none")).build();
  const message = new Promise((resolve, reject) => {
    connection.on("Clock", resolve);
    connection.onclose((error) => reject(error ?? new Error("closed without a message")));
  });
  await connection.start();
  const time = await message;
  await connection.stop();
  return `received ${time}`;
}
