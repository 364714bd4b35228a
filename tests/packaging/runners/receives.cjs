// What each of the test runners has to do, in each of its environments.
exports.receives = async ({ HubConnectionBuilder }) => {
  // The runner negotiates itself, as jsdom has no `fetch`.
  const { url, accessToken } = JSON.parse(process.env.HUBWIRE_NEGOTIATED);
  const connection = new HubConnectionBuilder()
    .withUrl(url, { accessTokenFactory: () => accessToken, skipNegotiation: true, transport: 1 })
    .configureLogging("none")
    .build();
  const message = new Promise((resolve) => connection.on("Clock", resolve));
  await connection.start();
  const time = await message;
  await connection.stop();
  return time;
};

exports.TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/;
