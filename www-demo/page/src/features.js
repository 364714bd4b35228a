// What each client can do, asked of the client itself.

const prototype = ({ api }) => api.HubConnectionBuilder.prototype;

/** A stream of a connection that is not connected: it ends with an error, which nobody wants to know. */
function stream({ api }) {
  const connection = new api.HubConnectionBuilder().withUrl("/chat").configureLogging(api.LogLevel.None).build();
  const stream = connection.stream("Nothing");
  stream.subscribe({ next() {}, complete() {}, error() {} });
  return stream;
}

/** Rows of the table by their names: whether a side has it. */
const FEATURES = {
  worker: (side) => "withWorker" in prototype(side),
  iteration: (side) => Symbol.asyncIterator in stream(side),
  retry: (side) => "withFirstConnectRetry" in prototype(side),
  signal: ({ api }) => "with" in api.HubConnection.prototype,
  states: ({ api }) => "onstatechange" in api.HubConnection.prototype,
  messagepack: ({ api }) => "MessagePackHubProtocol" in api,
  typed: ({ facts }) => facts.typed,
  testing: ({ facts }) => facts.testing,
  stateful: (side) => "withStatefulReconnect" in prototype(side),
  http: ({ api }) => "HttpClient" in api,
  policy: ({ facts }) => facts.withoutWebAssembly,
};

export function showFeatures(sides, table) {
  for (const [name, has] of Object.entries(FEATURES)) {
    const { cells } = table.querySelector(`[data-row="${name}"]`);
    sides.forEach((side, index) => {
      const there = has(side);
      cells[1 + index].textContent = there ? "yes" : "no";
      cells[1 + index].className = there ? "yes" : "no";
    });
  }
}
