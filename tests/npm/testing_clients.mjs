// The clients that the mock hub is tested with, by the same names.

export const officialClient = (official, MessagePack) => ({
  name: "the official client",
  builder: () => new official.HubConnectionBuilder().configureLogging(official.LogLevel.None),
  // In Node.js it has the package `ws`, unless it is told.
  options: () => ({ WebSocket: globalThis.WebSocket }),
  messagePack: () => new MessagePack(),
  HttpTransportType: official.HttpTransportType,
  Subject: official.Subject,
  // It stands in the text only.
  statusOf: (error) => Number(/status code '(\d+)'/i.exec(error.message)?.[1]),
});

export const thisClient = (own) => ({
  name: "this package",
  builder: () => new own.HubConnectionBuilder().configureLogging("none"),
  options: () => ({}),
  messagePack: () => new own.MessagePackHubProtocol(),
  HttpTransportType: own.HttpTransportType,
  Subject: own.Subject,
  statusOf: (error) => error.statusCode,
});
