export const HubConnectionState = Object.freeze({
  Disconnected: "Disconnected",
  Connecting: "Connecting",
  Connected: "Connected",
  Disconnecting: "Disconnecting",
});

// Numbers, both ways, as TypeScript's enums are in the official package.
const numbered = (names) => {
  const both = {};
  for (const [name, number] of Object.entries(names)) {
    both[name] = number;
    both[number] = name;
  }
  return Object.freeze(both);
};

export const LogLevel = numbered({
  Trace: 0,
  Debug: 1,
  Information: 2,
  Warning: 3,
  Error: 4,
  Critical: 5,
  None: 6,
});

export const HttpTransportType = numbered({ None: 0, WebSockets: 1, ServerSentEvents: 2, LongPolling: 4 });
