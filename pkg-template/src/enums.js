// The enums of the package, with the names and numbers of the official one.
export const HubConnectionState = Object.freeze({
  Disconnected: "Disconnected",
  Connecting: "Connecting",
  Connected: "Connected",
  Disconnecting: "Disconnecting",
  Reconnecting: "Reconnecting",
});

// Numbers, both ways, as TypeScript's enums are in the official package.
const numbered = (first, ...names) => {
  const both = {};
  names.forEach((name, index) => {
    both[name] = first + index;
    both[first + index] = name;
  });
  return Object.freeze(both);
};

export const LogLevel = numbered(0, "Trace", "Debug", "Information", "Warning", "Error", "Critical", "None");

export const HttpTransportType = Object.freeze({
  None: 0,
  WebSockets: 1,
  ServerSentEvents: 2,
  LongPolling: 4,
  0: "None",
  1: "WebSockets",
  2: "ServerSentEvents",
  4: "LongPolling",
});

export const TransferFormat = numbered(1, "Text", "Binary");

export const MessageType = numbered(
  1,
  "Invocation",
  "StreamItem",
  "Completion",
  "StreamInvocation",
  "CancelInvocation",
  "Ping",
  "Close",
  "Ack",
  "Sequence",
);
